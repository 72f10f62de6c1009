"""Surveys a large dataset in slices, which several processes look at at once.

What they find is put together only where the dataset has no fault. If it has one, or may have (two ids with the same
hash, say), whoever asked reads it once more from the beginning, to name every fault and its place.
"""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.dataset.duplicates import Duplicates, any_twice
from profiler.dataset.file import Survey
from profiler.dataset.formats import Reporter, json_lines
from profiler.dataset.met_keys import MetKeys
from profiler.dataset.places import BOM, Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from profiler.core.errors import Problem
    from profiler.dataset.unchanged import Stamp

WORTH_SLICING: Final = 8 << 20  # bytes; less is read in the time in which processes start
LARGEST: Final = 16 << 20  # bytes, so that a process holds no more
SLICES_A_PROCESS: Final = 4
PROBE: Final = "dialogue_id"
EVERY: Final = 250  # dialogues, of which the first has its place told


class Slice(msgspec.Struct, frozen=True):
    """Whole lines of a dataset, by their offsets."""

    begin: int
    end: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a slice. Places count dialogues and lines from the beginning of the slice. `kept` says how many hashes
    of ids are in each part of the file that was written for it."""

    sound: bool
    count: int = 0
    lines: int = 0
    places: list[Place] = []
    met: dict[str, Any] = {}
    kept: list[int] = []
    hashed: int = 0  # tells processes apart that hash differently


class Surveyed(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset without faults, and the places of some of its dialogues, of which the first is one. The `stamp` is that of
    the file when it was surveyed."""

    survey: Survey
    places: list[Place]
    stamp: Stamp


def slices_of(path: Path, *, processes: int) -> list[Slice]:
    """Cut the file into slices of about equal size, which end where lines do."""
    size = path.stat().st_size
    step = max(1, min(LARGEST, size // (SLICES_A_PROCESS * processes)))
    with path.open("rb") as file:
        ends = [len(BOM) if file.read(len(BOM)) == BOM else 0]
        while ends[-1] < size:
            file.seek(min(size, ends[-1] + step))
            file.readline()
            ends.append(file.tell())
    return [Slice(begin, end) for begin, end in pairwise(ends)]


def look_at(path: Path, part: Slice, *, hashes: Path) -> Found:
    """Check every dialogue of a slice. The hashes of their ids are written to a file of their own."""
    problems: list[Problem] = []
    reporter = Reporter(str(path), problems.append, problems.append)
    judged, places = MetKeys(), [Place(0, part.begin, 1)]
    count = 0
    with path.open("rb") as file, Duplicates(held=part.end - part.begin + 1) as ids:
        file.seek(part.begin)
        block = file.read(part.end - part.begin)
        stream = io.BytesIO(block)
        for number, dialogue in json_lines(stream, start=0, report=reporter):
            if dialogue is None or problems:
                return Found(sound=False)
            ids.add(dialogue.dialogue_id)
            judged.look(dialogue)
            count += 1
            if count % EVERY == 0:
                places.append(Place(count, part.begin + stream.tell(), number + 1))
        if problems:
            return Found(sound=False)
        found = Found(
            sound=True, count=count, lines=block.count(b"\n"), places=places, met=judged.met(), hashed=hash(PROBE)
        )
        return msgspec.structs.replace(found, kept=ids.save(hashes))


def put_together(path: Path, found: Sequence[tuple[Found, Path]], sha256: str, stamp: Stamp) -> Surveyed | None:
    """What all slices together say, in their order; None where only the whole file shows what is wrong with it."""
    if not all(each.sound for each, _ in found) or len({each.hashed for each, _ in found}) > 1:
        return None
    if any_twice([(hashes, each.kept) for each, hashes in found]):
        return None
    judged, places = MetKeys(), []
    count, line = 0, 0
    for each, _ in found:
        judged.add(each.met)
        places += [Place(count + place.dialogue, place.offset, line + place.line) for place in each.places]
        count, line = count + each.count, line + each.lines
    if not count:
        return None
    places = [place for place in places if place.dialogue < count]
    survey = Survey(count=count, sha256=sha256, size=path.stat().st_size, **judged.survey_fields())
    return Surveyed(survey=survey, places=places, stamp=stamp)


def thinned(places: Sequence[Place], *, every: int, count: int) -> list[Place]:
    """As many of the places as are needed to have no more than `every` dialogues from one to the next, as far as there
    are so many; `count` dialogues are asked."""
    kept, last = [places[0]], places[0]
    for place in [*places[1:], Place(count, 0, 0)]:
        if place.dialogue - kept[-1].dialogue > every and last is not kept[-1]:
            kept.append(last)
        last = place
    return kept
