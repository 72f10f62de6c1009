"""Byte offsets in a dataset file, one for every so many dialogues: there a process can begin to read in the middle.

A file with a dialogue a line has such places. Of any other (a JSON array, a table, something compressed, a selection of
dialogues) a copy with a dialogue a line is written first.
"""

from __future__ import annotations

import io
from contextlib import closing, contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import Problem, StorageError
from profiler.core.json import encode_lines
from profiler.core.nouns import Dialogue
from profiler.dataset import file
from profiler.dataset.fields import renaming
from profiler.dataset.formats import Reporter, json_lines
from profiler.dataset.unchanged import reading_file, refuse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from profiler.dataset.fields import FieldNames
    from profiler.dataset.selection import Selection

LINED = frozenset({".jsonl", ".ndjson"})
_BUFFER = 1 << 20
BOM = b"\xef\xbb\xbf"
_BATCH = 256

_decode = msgspec.json.Decoder(Dialogue).decode


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a dialogue begins: its number, the offset of its line, and the number of that line, from 1."""

    dialogue: int
    offset: int
    line: int


def has_places(path: Path, selection: Selection) -> bool:
    """Whether the file has one dialogue a line, and all of them are asked."""
    return path.suffix.lower() in LINED and selection.is_all


def places(path: Path, *, every: int, count: int) -> list[Place]:
    """The places of the dialogues 0, `every`, 2 · `every` … of the first `count`."""
    found: list[Place] = []
    dialogue = offset = 0
    with path.open("rb", buffering=_BUFFER) as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace() or (number == 1 and line.removeprefix(BOM).isspace()):
                offset += len(line)
                continue
            if dialogue == count:
                break
            if dialogue % every == 0:
                found.append(Place(dialogue, offset + len(BOM) * (number == 1 and line.startswith(BOM)), number))
            dialogue += 1
            offset += len(line)
    if dialogue < count:
        refuse(Problem(path=str(path), message=f"found {dialogue} dialogues, expected {count}: the file changed"))
    return found


def write_lines(path: Path, target: Path, *, fields: FieldNames | None, selection: Selection, count: int) -> None:
    """Write the first `count` dialogues that are asked, one a line."""
    with file.reading(path, fields=fields, selection=selection) as dialogues:
        wanted = islice(dialogues, count)
        try:
            with target.open("wb", buffering=_BUFFER) as lines:
                while batch := list(islice(wanted, _BATCH)):
                    lines.write(encode_lines(batch))
        except OSError as error:
            raise StorageError(target, error) from error


@contextmanager
def reading_lines(path: Path, place: Place, *, skip: int) -> Iterator[Iterator[Dialogue]]:
    """The dialogues of a file that `write_lines` has written, from `skip` behind a place on."""
    with path.open("rb", buffering=_BUFFER) as lines:
        lines.seek(place.offset)
        for _ in islice(lines, skip):
            pass
        yield map(_decode, lines)


@contextmanager
def reading_from(
    path: Path, place: Place, *, skip: int, fields: FieldNames | None = None
) -> Iterator[Iterator[Dialogue]]:
    """The dialogues of a dataset with places, from `skip` behind one on."""
    with closing(_items(path, place, skip=skip, fields=fields)) as items:
        yield map(itemgetter(1), items)


def _items(path: Path, place: Place, *, skip: int, fields: FieldNames | None) -> Generator[tuple[int, Dialogue]]:
    with reading_file(path, report=refuse), io.BufferedReader(io.FileIO(path), _BUFFER) as stream:
        stream.seek(place.offset)
        reporter = Reporter(str(path), refuse, renaming=renaming(fields))
        for line, dialogue in json_lines(stream, start=skip, report=reporter, line=place.line):
            assert dialogue is not None  # noqa: S101 (`refuse` raises first)
            yield line, dialogue
