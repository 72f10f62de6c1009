"""Reads the two logs of a run side by side and joins each pair of lines into one outcome.

A log that does not fit raises a `LogError` with file and line.
"""

from __future__ import annotations

from contextlib import closing
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from profiler.core.errors import LogError, Problem
from profiler.core.json import DecodeError, loads
from profiler.core.nouns import NOTHING_SENT, Expected, Failure, Outcome, Record, RecordType
from profiler.storage.names import REQUESTS, RESPONSES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from profiler.storage.pinned_file import Log

READ_BUFFER: Final = 1 << 20
BLOCK: Final = 1 << 16  # what is decoded of it stays in the cache of a core until it is used
WRONG: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Line = TypeVar("Line")


class Asked(msgspec.Struct, gc=False):
    """The part of a line of requests.jsonl that metrics need; the decoder skips the rest."""

    dialogue_id: str
    index: int | None = None
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    expected: Expected | None = None
    repeat: int | None = None
    request: msgspec.Raw = NOTHING_SENT


class Got(msgspec.Struct, gc=False, kw_only=True):
    """The part of a line of responses.jsonl that metrics need, in the order of `Record`: the decoder finds a key fastest
    where it comes next.

    `output_fields` may have left out all but the dialogue and the type.
    """

    dialogue_id: str
    index: int | None = None
    completion: str | None = None
    type: RecordType
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    latency_s: float | None = None
    queue_s: float | None = None
    attempts: int | None = None
    cost_usd: float | None = None
    error: Failure | None = None
    replies: tuple[str, ...] = ()
    held_s: float | None = None
    between_s: float | None = None
    ttft_s: float | None = None
    gap_p50_s: float | None = None
    gap_p95_s: float | None = None
    tokens_per_s: float | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    reused_from: str | None = None
    reused_cost_usd: float | None = None


_decode_record = msgspec.json.Decoder(Record).decode
_LEFT_OUT = dict.fromkeys(field.name for field in msgspec.structs.fields(Record) if field.required) | {"attempts": 1}


def read_outcomes(log_dir: Path, *, complete: bool = True, first: int = 0) -> Iterator[Outcome]:
    """The outcomes in dataset order.

    With `complete=False` the run may still go on: there may be fewer responses than requests, and a torn last line
    counts as not written yet. `first` is the index of the first line.
    """
    return joined(log_dir / REQUESTS, log_dir / RESPONSES, complete=complete, first=first)


def joined(requests: Log, responses: Log, *, complete: bool, first: int) -> Iterator[Outcome]:
    """The outcomes that two logs make together, in dataset order."""
    with (  # also when one of them is damaged, and whoever caught that error still holds the other
        closing(_blocks(requests, msgspec.json.Decoder(Asked).decode, complete=complete)) as questions,
        closing(_blocks(responses, msgspec.json.Decoder(Got).decode, complete=complete)) as answers,
    ):
        pairs = zip_longest(chain.from_iterable(questions), chain.from_iterable(answers))
        for index, (asked, got) in enumerate(pairs, first):
            if got is None:
                if complete:
                    raise damaged(
                        responses, f"ends after {index - first} lines, {REQUESTS} goes on: the run is unfinished"
                    )
                return
            if asked is None:
                raise damaged(requests, f"ends after {index - first} lines, {RESPONSES} goes on")
            if asked.dialogue_id != got.dialogue_id:
                line = index - first + 1
                found = f"is dialogue {got.dialogue_id!r}, but line {line} of {REQUESTS} is {asked.dialogue_id!r}"
                raise damaged(responses, found, line=line)
            if asked.index != index and asked.index is not None:
                raise damaged(requests, f"has index {asked.index}, {index} is expected", line=index - first + 1)
            if got.index != index and got.index is not None:
                raise damaged(responses, f"has index {got.index}, {index} is expected", line=index - first + 1)
            yield outcome_of(asked, got)


def read_records(log_dir: Path) -> Iterator[Record]:
    """The lines of a complete responses.jsonl as they were recorded. What `output_fields` has left out is None."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for index, line in enumerate(lines_of(log_dir / RESPONSES, decode, complete=True)):
        yield _record_of(line, index)


def read_plain_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a log of answers as they stand there, each with its index. A line that is JSON but no record is skipped,
    and counts as an index."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = loads(line)
            except (DecodeError, ValueError) as error:
                raise LogError([Problem(path=str(path), line=number, message=f"found no record: {error}")]) from error
            if isinstance(record, dict):
                yield number - 1, record


def as_record(line: bytes, *, index: int) -> Record:
    """One line of a log of answers as the record of the item `index`."""
    try:
        return msgspec.structs.replace(_decode_record(line), index=index)
    except msgspec.ValidationError:  # `output_fields` has left something out
        return _record_of(loads(line), index)


def _record_of(line: dict[str, Any], index: int) -> Record:
    return msgspec.convert({**_LEFT_OUT, **line, "index": index}, Record)


def paid_before(record: Record) -> Record:
    """A record whose answer costs nothing any more; what it once cost stays with it."""
    once = record.cost_usd if record.reused_cost_usd is msgspec.UNSET else record.reused_cost_usd
    return msgspec.structs.replace(
        record,
        cost_usd=None if record.cost_usd is None else 0.0,
        maybe_usd=msgspec.UNSET,
        reused_cost_usd=msgspec.UNSET if once is None else once,
    )


def outcome_of(asked: Asked, got: Got) -> Outcome:
    return Outcome(
        got.dialogue_id,
        got.type,
        got.completion,
        got.replies,
        got.stop_reason,
        got.usage,
        got.latency_s,
        got.queue_s,
        got.attempts,
        got.cost_usd,
        got.error,
        asked.required_facts,
        asked.expect_refusal,
        asked.tags,
        asked.metadata,
        asked.expected,
        asked.repeat,
        got.held_s,
        got.between_s,
        got.ttft_s,
        got.gap_p50_s,
        got.gap_p95_s,
        got.tokens_per_s,
        got.reused_from,
        got.reused_cost_usd,
        asked.request,
        got.tool_calls,
    )


def lines_of(path: Log, decode: Callable[[bytes], Line], *, complete: bool) -> Iterator[Line]:
    """The decoded lines of a log. A torn last line is an error only when the log is said to be complete."""
    return chain.from_iterable(_blocks(path, decode, complete=complete))


def _blocks(path: Log, decode: Callable[[bytes], Line], *, complete: bool) -> Generator[Iterable[Line], None, None]:
    """Lines are decoded a block at a time, in a loop in C, hence fast; one by one only where one of them is wrong."""
    if not path.is_file():
        raise damaged(path, "no such file; a log directory holds requests.jsonl and responses.jsonl")
    number = 1
    try:
        with path.open("rb", buffering=READ_BUFFER) as file:
            while block := file.readlines(BLOCK):
                try:
                    yield list(map(decode, block))
                except WRONG:
                    yield _up_to_wrong(block, decode, path=path, number=number, complete=complete)
                    return
                number += len(block)
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from error


def _up_to_wrong(
    block: list[bytes], decode: Callable[[bytes], Line], *, path: Log, number: int, complete: bool
) -> Iterator[Line]:
    """The lines of a block before the wrong one. `number` is that of the first."""
    for at, line in enumerate(block, number):
        try:
            found = decode(line)
        except WRONG as error:
            if line.endswith(b"\n"):
                raise damaged(path, f"is not a line of this log: {error}", line=at) from error
            if complete:
                raise damaged(path, f"is cut off in the middle: {error}", line=at) from error
            return
        yield found


class MovedOn(LogError):
    """A run has gone on while somebody looked into it, and what was looked at has another place now. Whoever looks again finds
    it there."""


def moved_on(path: Path) -> MovedOn:
    return MovedOn([Problem(path=str(path), message="is gone: the run has gone on meanwhile, so look again")])


def damaged(path: Log, message: str, *, line: int | None = None) -> LogError:
    return LogError([Problem(path=str(path), line=line, message=message)])
