"""The truth of a run while it runs: every record, in the order of completion, in journal.jsonl.

The first line says which run this is; each other line is a whole record. Replaying gives back which
dialogues are done and where their lines begin. Knows nothing of dataset order or of the other files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from profiler.core.errors import LogError, Problem, RunDirectoryError
from profiler.core.json import DecodeError, dump_line
from profiler.core.nouns import RecordType
from profiler.storage.line_file import LineFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "journal.jsonl"
FORMAT = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is: two runs with the same identity ask the same and may share their answers."""

    journal: int
    count: Annotated[int, msgspec.Meta(ge=0)]
    identity: dict[str, Any]
    started: str | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay needs of one record."""

    index: int
    type: RecordType
    cost_usd: float | None = None


class Place(msgspec.Struct, frozen=True):
    """One record of a journal and where its line stands."""

    entry: Entry
    offset: int
    size: int


def begin(file: LineFile, header: Header) -> None:
    """Write the first line. Until it is whole, there is no run to resume."""
    file.cut(0)
    file.write(dump_line(msgspec.to_builtins(header)))


def read_header(path: Path) -> Header | None:
    """The run a journal belongs to, or None when it was cut off before its first line was whole."""
    with path.open("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        header = msgspec.json.decode(line, type=Header)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, 1, str(error)) from error
    if header.journal != FORMAT:
        raise RunDirectoryError(
            f"{path}: found journal format {header.journal}, expected {FORMAT}",
            hint="finish this run with the version that began it, or start over with --fresh",
        )
    return header


def header_size(path: Path) -> int:
    with path.open("rb") as file:
        return len(file.readline())


def replay(path: Path, *, count: int) -> Iterator[Place]:
    """Every whole record after the header. What follows the last of them is a torn tail.

    A bad line with a whole one behind it is no torn tail but damage, and an error.
    """
    decode = msgspec.json.Decoder(Entry).decode
    bad: tuple[int, str] | None = None
    with path.open("rb") as file:
        offset = len(file.readline())
        for number, line in enumerate(file, 2):
            size = len(line)
            try:
                entry = decode(line)
            except (DecodeError, UnicodeDecodeError, RecursionError) as error:
                bad = bad or (number, str(error))
            else:
                if bad is not None:
                    raise _damaged(path, *bad)
                if not line.endswith(b"\n"):
                    return
                if not 0 <= entry.index < count:
                    raise _damaged(path, number, f"index {entry.index} of {count} dialogues")
                yield Place(entry, offset, size)
            offset += size


def _damaged(path: Path, number: int, reason: str) -> LogError:
    return LogError(
        [
            Problem(
                path=str(path),
                line=number,
                message=f"found a line that is no record ({reason}), expected one JSON object a line",
                hint=("remove that line to ask its dialogue again, or " if number > 1 else "")
                + "start over with --fresh",
            )
        ]
    )
