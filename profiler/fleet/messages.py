"""What the coordinator and its workers say to each other, a JSON object a line.

The job is the first line that a worker hears. It holds no key: those are in the worker's environment.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import msgspec

from profiler.core.errors import BudgetReached, Interrupted, ProfilerError, ProviderFailed
from profiler.core.nouns import Mode
from profiler.dataset.slices import Found, Slice
from profiler.fleet.broker.settings import EvenShare
from profiler.fleet.program import Program
from profiler.manifest.settings import Experiment
from profiler.provider.open import Lane
from profiler.storage.money import Money
from profiler.storage.writing.journal_file import Fsync

LAST_LINES = 20


class Lender(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker reaches the broker: its address, the token that lets one in, and the worker's name there (`who`), which is
    never used twice. `capped`: the broker lends money as well. `alone` is for whoever cannot know that a broker is there."""

    url: str
    token: str
    who: str
    capped: bool
    alone: EvenShare | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Command to a worker, its first: all that it needs to know before it gets a range. `concurrency` and `cap` (in
    pico-dollars) are what it may use as long as no broker says otherwise; the rate limits stand in its experiment."""

    worker: int
    folder: str
    experiment: Experiment
    mode: Mode
    lane: Lane | None = None
    search_path: str | None = None
    fsync: Fsync = "interval"
    retry_failed: bool = False
    concurrency: int
    cap: int | None = None
    broker: Lender | None = None
    known_answers: str | None = None  # the file in which answers of earlier runs can be found
    boot: str | None = None  # what its commits note, see `storage.shared_runs.commits`


class Look(msgspec.Struct, frozen=True, tag=True):
    """Survey a slice of the dataset, and write the hashes of its ids to a file. This comes before the job."""

    dataset: str
    part: Slice
    hashes: str


class Grant(msgspec.Struct, frozen=True, tag=True):
    """Command: answer the range of items from `first` to before `end`."""

    first: int
    end: int


class Cut(msgspec.Struct, frozen=True, tag=True):
    """Command: give up the end of the range that begins at `first`; `keep` of its items not begun yet stay with the worker."""

    first: int
    keep: int


class Finish(msgspec.Struct, frozen=True, tag=True):
    """Command: there are no more ranges; the worker ends when it has answered those that it has."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Command: begin nothing new, and let the calls in flight end."""


class Abandon(msgspec.Struct, frozen=True, tag=True):
    """Command: end the calls in flight too."""


class Looked(msgspec.Struct, frozen=True, tag=True):
    """What is in a slice."""

    found: Found


class Want(msgspec.Struct, frozen=True, tag=True):
    """Report of a worker: it has room for another range."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """How far a worker is with a range: the index behind the last item that was begun, how many are answered, and what this
    candidate has spent itself, or may have."""

    first: int
    begun: int
    done: int
    cost_usd: float = 0.0
    maybe_usd: float = 0.0


class Status(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report of a worker, several times a second: how far it is, and what it is doing."""

    parts: list[Part]
    answered: int  # by this worker, all ranges together
    in_flight: int
    slots: int
    backing_off: int
    retried: int
    failures: dict[str, int]
    held_up_by: str | None


class WasCut(msgspec.Struct, frozen=True, tag=True):
    """Report: the answer to `Cut`, which says where the range ends now."""

    first: int
    end: int


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A range is answered. It counts if it was `won`; else another candidate for it was committed before. `money` is what this
    candidate has spent itself; so many answers were `taken` over from earlier runs."""

    first: int
    end: int
    won: bool
    money: Money = Money()
    taken: int = 0


class Told(msgspec.Struct, frozen=True, tag=True):
    """Report: a line for people to read."""

    line: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The last that a worker says: what kept it from going faster, and the error that stopped it."""

    bound_by: dict[str, Any] | None = None
    error: Stopped | None = None


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """An error in words, as it travels. `bug`: it is none of those that people can act on, and `lines` are the last of its
    traceback. `next_call` is that of `BudgetReached`."""

    kind: str
    message: str
    hint: str | None = None
    exit_code: int = ProfilerError.exit_code
    bug: bool = False
    lines: str = ""
    next_call: int = 0

    @staticmethod
    def of(error: BaseException) -> Stopped:
        if isinstance(error, ProfilerError):
            next_call = error.next_call if isinstance(error, BudgetReached) else 0
            return Stopped(
                kind=type(error).__name__,
                message=str(error),
                hint=error.hint,
                exit_code=error.exit_code,
                next_call=next_call,
            )
        lines = "".join(traceback.format_exception(error)).splitlines()[-LAST_LINES:]
        return Stopped(kind=type(error).__name__, message=str(error), bug=True, lines="\n".join(lines))

    def as_error(self) -> ProfilerError:
        """The error again, as far as whoever catches it tells kinds apart."""
        if self.kind == ProviderFailed.__name__:
            return ProviderFailed(self.message, hint=self.hint)
        if self.kind == Interrupted.__name__:
            return Interrupted(self.message, signum=self.exit_code - 128, hint=self.hint)
        error = ProfilerError(self.message, hint=self.hint)
        error.exit_code = self.exit_code
        return error


Command = Job | Look | Grant | Cut | Finish | Drain | Abandon
Report = Looked | Want | Status | WasCut | Done | Told | Ended


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"a {type(value).__name__} cannot travel")


def _typed(kind: type, found: Any) -> Any:
    if kind is Path:
        return Path(found)
    raise NotImplementedError(f"a {kind.__name__} cannot travel")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_commands = msgspec.json.Decoder(Command, dec_hook=_typed)
_reports = msgspec.json.Decoder(Report)


def as_line(message: Command | Report) -> bytes:
    return _encode(message) + b"\n"


def command_of(line: bytes) -> Command:
    found: Command = _commands.decode(line)
    return found


def report_of(line: bytes) -> Report:
    found: Report = _reports.decode(line)
    return found


ANSWERS_RANGES: Program[Command, Report] = Program("profiler.fleet.workers.worker", as_line, report_of)
