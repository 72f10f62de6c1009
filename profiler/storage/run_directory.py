"""The folder of one run, through its whole life.

One process at a time holds it. A run begins there, or is resumed if it asks the same; it is appended to, finished, and
opened once more for dialogues that failed. It may be moved aside but is never deleted.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import RunDirectoryError, StorageError
from profiler.core.json import dump_line
from profiler.money.prices import pico
from profiler.provider.source import Source
from profiler.storage import journal, ledger, score_log, status_file, summary_file
from profiler.storage.folder_lock import ELSEWHERE, locked
from profiler.storage.identity_differences import differences
from profiler.storage.line_file import LineFile
from profiler.storage.money import Money
from profiler.storage.names import ASIDE, FLEET, JOURNAL, LEDGER, REQUESTS, RESPONSES, SCORES, SUMMARY, TABLE
from profiler.storage.reading.read_logs import read_plain_records
from profiler.storage.whole_file import draft_of, remove, replace, sync_folder
from profiler.storage.writing import open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from profiler.storage.journal import Header
    from profiler.storage.writing.open_run import OpenRun

SOURCE = (*Source.__struct_fields__, "mock", "mock_responses_sha256")  # the part of an identity that says who answers


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a folder holds already; `summary` is None while it is unfinished."""

    count: int
    identity: dict[str, Any]
    summary: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        return self.summary is not None


def earlier(folder: Path) -> Earlier | None:
    """The run in a folder, or None.

    An unfinished run has a journal whose first line is whole; a complete one has a summary with its identity.
    """
    header = journal.read_header(folder / JOURNAL)
    if header is not None:
        return Earlier(count=header.count, identity=header.identity)
    if not (folder / SUMMARY).exists():
        return None
    summary = summary_file.read(folder)
    facts = summary["run"]
    count, identity = facts.get("items", facts.get("dialogues")), facts.get("identity")
    if type(count) is not int or not isinstance(identity, dict):
        raise RunDirectoryError(
            f"{folder}: holds the summary of a run that does not say what it asked",
            hint="choose another --output-dir, or use --fresh to move it aside",
        )
    return Earlier(count=count, identity=identity, summary=summary)


def shared_by_processes(folder: Path) -> bool:
    """Whether several processes share the run in a folder, and it has not ended."""
    try:
        return (folder / TABLE).exists()
    except OSError:  # whoever opens the run says what is wrong with its folder
        return False


def summary_path(folder: Path) -> Path:
    return folder / SUMMARY


def refuse_another(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise if the identities differ: answers to other questions, or from another source, are never mixed."""
    if lines := differences(old, new):
        error = RunDirectoryError(
            f"{folder}: holds another run, it cannot be resumed:\n" + "\n".join(f"  {line}" for line in lines),
            hint="undo the change, choose another --output-dir, or use --fresh to move the old run aside",
        )
        if all(old.get(name) == new.get(name) for name in SOURCE):  # else none of its answers could be taken over
            error.way_on = ("--fresh", "--reuse", str(folder))
        raise error


@contextmanager
def hold(
    folder: Path, *, fresh: bool = False, claimed: bool = False, unpaid: bool = False, tell: Callable[[str], None]
) -> Iterator[RunDirectory]:
    """Hold the folder for this process alone. `fresh` first moves aside the run that is there; `unpaid`, where answers cost
    nothing, what a power cut has left of one. A folder that is `claimed` in another way needs no locks."""
    if fresh and folder.exists():
        with locked(folder):
            if aside := _move_aside(folder):
                tell(f"moved the earlier run to {aside}")
    with locked(folder, claimed=claimed):
        directory = RunDirectory(folder)
        if not (unpaid and directory.lost_its_first_line):
            yield directory
            return
        aside = _move_aside(folder)
    tell(
        f"{folder}: a power cut has left logs without the first line of their journal; nobody paid for them: now {aside}"
    )
    with hold(folder, claimed=claimed, tell=tell) as directory:
        yield directory


class RunDirectory:
    """A folder that this process holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Most folders are new: one look at all that is there, instead of one for each file that may be.
        self._found = frozenset(path.name for path in folder.iterdir())
        if self._found:
            self._remove_drafts()
        self.earlier = earlier(folder) if self._found else None
        if self.earlier is not None and self.earlier.complete:
            # left by a run that was killed just before removing it; perhaps nothing can be written here
            with suppress(StorageError):
                remove(folder / LEDGER)
            shutil.rmtree(folder / FLEET, ignore_errors=True)

    def _remove_drafts(self) -> None:
        """Half-written files of a killed run count only once they are renamed."""
        for draft in (draft_of(self.folder / name) for name in (JOURNAL, LEDGER, SCORES, SUMMARY)):
            if draft.name in self._found:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)

    @property
    def summary(self) -> dict[str, Any] | None:
        """The summary of a complete run."""
        return self.earlier.summary if self.earlier is not None else None

    @property
    def lost_its_first_line(self) -> bool:
        """Whether a run that wrote to the logs had not yet forced its journal to the device, as one does that is paid for."""
        if (
            self.earlier is not None
            or JOURNAL not in self._found
            or not self._found.isdisjoint((LEDGER, SUMMARY, FLEET))
        ):
            return False
        return any((self.folder / name).stat().st_size for name in self._found & {REQUESTS, RESPONSES})

    def refuse_another_run(self, identity: dict[str, Any]) -> None:
        """Raise unless the run that is here asked the same."""
        if self.earlier is not None:
            refuse_another(self.folder, self.earlier.identity, identity)

    def open(self, header: Header, *, retry_failed: bool = False, sync: bool = True, at_once: bool = True) -> OpenRun:
        """Begin a run or resume it. A complete run is opened once more for the dialogues that failed."""
        self.refuse_another_run(header.identity)
        if self.earlier is None:
            if self._found:
                self.refuse_strays()
            return open_run.begin(self.folder, header, sync=sync, at_once=at_once)
        if self.earlier.summary is not None:
            self._reopen(header, self.earlier.summary)
        known = journal.read_header(self.folder / JOURNAL) or header
        return open_run.take_up(self.folder, known, retry_failed=retry_failed, sync=sync)

    def complete(self, opened: OpenRun, summary: Mapping[str, Any]) -> None:
        """The run is complete once its summary is written; then only what belongs to a complete run stays.

        The logs are on the device before the summary is, and the journal that vouches for them before they are.
        """
        opened.force()
        self.write_summary(summary)
        self._let_go(sync=opened.sync)
        opened.close()  # only now the blocks of the journal are freed, which may take as long as a sync

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace the summary, and before it the scores that were counted with it."""
        score_log.publish(self.folder)
        summary_file.write(summary_path(self.folder), summary)

    def _let_go(self, *, sync: bool) -> None:
        """Remove the files that only an unfinished run has.

        The ledger goes last, because a journal without it would forget money. A journal that comes back after a power
        cut is of a run that owes nothing.
        """
        remove(self.folder / JOURNAL)
        if (self.folder / LEDGER).exists():
            if sync:
                sync_folder(self.folder)
            remove(self.folder / LEDGER)
        status_file.remove(self.folder)

    def refuse_strays(self) -> None:
        """Refuse logs without a journal: they are somebody's data, not ours to overwrite."""
        if (self.folder / TABLE).exists():
            raise RunDirectoryError(
                f"{self.folder}: holds a run that several processes share, and it is not finished",
                hint="go on with --processes N, or use --fresh to move it aside",
            )
        torn = " with a whole first line" if (self.folder / JOURNAL).exists() else ""
        for name in (REQUESTS, RESPONSES, SUMMARY):
            path = self.folder / name
            if path.exists() and path.stat().st_size:
                raise RunDirectoryError(
                    f"{self.folder}: holds {name} but no journal{torn}, so it cannot be resumed",
                    hint="choose another --output-dir, or use --fresh to move the folder aside",
                )

    def _reopen(self, header: Header, summary: dict[str, Any]) -> None:
        """Turn a complete run back into an unfinished one that owes the answers of its failed dialogues.

        The ledger carries what the records dropped here have cost. The journal gets its name last, when it is whole, so
        a kill before that leaves the complete run.
        """
        facts, path = summary["run"], self.folder / JOURNAL
        sessions = facts.get("sessions") or []
        paid = maybe = 0
        with LineFile(draft_of(path)) as file:
            journal.begin(file, msgspec.structs.replace(header, started=facts.get("started") or header.started))
            for index, record in read_plain_records(self.folder / RESPONSES):
                if record.get("type") != "error":
                    file.write(dump_line({**record, "index": index}))
                    paid += pico(record.get("cost_usd") or 0.0)
                    maybe += pico(record.get("maybe_usd") or 0.0)
            for session in sessions:
                file.write(journal.session_line(session))
            file.sync()
            size = file.size
        spent = facts.get("spent_usd") or summary.get("cost_usd") or 0.0
        carried = Money(
            spent=max(0, pico(spent) - paid),
            maybe=max(0, pico(facts.get("maybe_billed_usd") or 0.0) - maybe),
            cut_off=(facts.get("resumed") or {}).get("maybe_billed") or 0,
        )
        if carried != Money():
            ledger.begin(self.folder, carried, journal_size=size)
        replace(draft_of(path), path)
        remove(self.folder / SCORES)
        remove(self.folder / SUMMARY)
        sync_folder(self.folder)


def _move_aside(folder: Path) -> Path | None:
    """Make room for a new run by renaming the old one. Nothing is deleted."""
    try:
        if not any(folder.iterdir()):
            return None
        stamp = time.strftime("%Y%m%dT%H%M%S")
        for number in range(1000):
            aside = folder.with_name(f"{folder.name}{ASIDE}{stamp}" + (f"-{number}" if number else ""))
            if not aside.exists():
                folder.rename(aside)
                return aside
    except OSError as error:
        raise RunDirectoryError(f"{folder}: cannot be moved aside: {error.strerror}", hint=ELSEWHERE) from error
    raise RunDirectoryError(f"{folder}: cannot find a free name to move the old run to")
