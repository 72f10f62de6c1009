"""The two logs of an unfinished run, opened as far as their lines can be kept: what is torn or damaged is cut off, and made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from profiler.storage.line_file import LineFile
from profiler.storage.names import JOURNAL
from profiler.storage.reading.read_logs import BLOCK, WRONG, Asked, Got

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from profiler.storage.journal import Header


class _RequestLine(Asked, gc=False, kw_only=True):
    """What a line of requests.jsonl has to say."""

    request_hash: str


def cut_requests(path: Path, header: Header, *, notes: list[str], opened: ExitStack) -> tuple[LineFile, int]:
    """Open requests.jsonl, without what is torn or damaged: those lines are made again from the dataset."""
    file = opened.enter_context(LineFile(path))
    standing = _standing(path, msgspec.json.Decoder(_RequestLine).decode, header, may_lack_index=False)
    return file, _cut(file, standing, anew="written anew from the dataset", notes=notes)


def cut_responses(path: Path, header: Header, *, notes: list[str], opened: ExitStack) -> tuple[LineFile, int]:
    """Open responses.jsonl, without what is torn or damaged: the journal holds those lines too."""
    file = opened.enter_context(LineFile(path))
    standing = _standing(path, msgspec.json.Decoder(Got).decode, header, may_lack_index=True)
    return file, _cut(file, standing, anew=f"laid out anew from {JOURNAL}", notes=notes)


class _Standing(NamedTuple):
    """How many lines of a log can be kept, where the last of them ends, and whether a damaged one follows it."""

    lines: int
    end: int
    damaged: bool


def _standing(path: Path, decode: Callable[[bytes], Asked | Got], header: Header, *, may_lack_index: bool) -> _Standing:
    """The lines up to the first that is not what the reduction expects in its place.

    They are looked at a block at a time, in loops in C, and one by one only where one of them is wrong.
    """
    places = range(header.first, header.first + header.count)
    lines = end = 0

    def all_stand(next_lines: list[bytes]) -> bool:
        expected = places[lines : lines + len(next_lines)]
        try:
            found = [each.index for each in map(decode, next_lines)]
        except WRONG:
            return False
        # `output_fields` may have left out the index
        return found == [*expected] or (may_lack_index and len(expected) == len(found) == found.count(None))

    with path.open("rb") as reading:
        while block := reading.readlines(BLOCK):
            if block[-1].endswith(b"\n") and all_stand(block):
                lines += len(block)
                end += sum(map(len, block))
                continue
            for line in block:
                if not line.endswith(b"\n"):
                    return _Standing(lines, end, damaged=False)
                if not all_stand([line]):
                    return _Standing(lines, end, damaged=True)
                lines += 1
                end += len(line)
    return _Standing(lines, end, damaged=False)


def _cut(file: LineFile, standing: _Standing, *, anew: str, notes: list[str]) -> int:
    """Leave only the lines that stand; returns how many they are."""
    if standing.end < file.size:
        torn = f"cut {file.size - standing.end} bytes of a torn last line"
        damaged = f"line {standing.lines + 1} is damaged; from there on it is {anew}"
        notes.append(f"{file.path.name}: {damaged if standing.damaged else torn}")
        file.cut(standing.end)
    return standing.lines
