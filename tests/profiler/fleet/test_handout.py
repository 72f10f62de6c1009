"""Ranges go out so that fast workers have few of them, and that no answer of an attempt is ever left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dump_line
from profiler.dataset.places import Place
from profiler.fleet.handout import Handout
from profiler.fleet.messages import Part, WasCut
from profiler.fleet.prepare import owed
from profiler.storage.journal import FORMAT, Header
from profiler.storage.ranges import RangeFolders, Table

if TYPE_CHECKING:
    from pathlib import Path

FAST = 1e9
RANGES = 40


def begun(folder: Path, *, items: int = RANGES * 10) -> tuple[RangeFolders, Table]:
    """A run of ranges of ten items."""
    places = [Place(first, 0, first + 1) for first in range(0, items, 10)]
    identity: dict[str, Any] = {}
    table = Table(count=items, identity=identity, started=None, dataset_stamp=(1, 2, 3), copied=False, places=places)
    folders = RangeFolders(folder)
    return folders, folders.begin(table)


def attempted(folders: RangeFolders, first: int, *, end: int) -> None:
    header = Header(journal=FORMAT, first=first, count=end - first, identity={}, started=None)
    (folders.begin_attempt(first).folder / "journal.jsonl").write_bytes(dump_line(msgspec.to_builtins(header)))


def handout(folders: RangeFolders, table: Table) -> Handout:
    return Handout(owed(folders, table, since=0), folders)


def grants(hands: Handout, *, speed: float, among: int = 2) -> list[tuple[int, int]]:
    found = []
    while (granted := hands.take(0, among=among, speed=speed)) is not None:
        found.append((granted.first, granted.end))
    return found


def test_who_is_fast_gets_many_ranges_as_one_and_fewer_towards_the_end(tmp_path: Path) -> None:
    found = grants(handout(*begun(tmp_path)), speed=FAST)
    sizes = [end - first for first, end in found]
    assert sizes[0] == RANGES * 10 // 4
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 10
    assert [0, *(end for _, end in found)] == [*(first for first, _ in found), RANGES * 10]


def test_who_is_slow_gets_one_at_a_time(tmp_path: Path) -> None:
    assert grants(handout(*begun(tmp_path)), speed=1.0) == [(first, first + 10) for first in range(0, RANGES * 10, 10)]


def test_an_attempt_is_taken_up_as_far_as_it_reaches_and_never_swallowed_by_another(tmp_path: Path) -> None:
    folders, table = begun(tmp_path)
    attempted(folders, 0, end=50)  # ranges that were answered as one
    attempted(folders, 90, end=130)
    attempted(folders, 115, end=130)  # what another one has taken over of it
    pieces = list(owed(folders, table, since=0))
    assert pieces[:2] == [(0, 50), (50, 60)]
    assert (90, 115) in pieces
    assert (115, 130) in pieces
    assert [0, *(end for _, end in pieces)] == [*(first for first, _ in pieces), table.count]
    firsts = {first for first, _ in grants(handout(folders, table), speed=FAST, among=1)}
    assert {0, 90, 115} <= firsts


def test_what_a_lost_worker_had_begun_is_handed_out_as_it_was(tmp_path: Path) -> None:
    hands = handout(*begun(tmp_path))
    taken = hands.take(7, among=2, speed=FAST)
    assert taken is not None
    hands.take_back(7)
    again = hands.take(8, among=2, speed=FAST)
    assert again is not None
    assert (again.first, again.end) == (taken.first, taken.end)


def test_a_slow_worker_keeps_what_it_answers_while_a_fast_one_answers_the_rest(tmp_path: Path) -> None:
    """Twenty times slower, with 100 items before it: 5 stay, and both end at about the same time."""
    hands = handout(*begun(tmp_path, items=100))
    slow = hands.take(0, among=1, speed=200.0)
    assert slow is not None
    assert slow.left == 50
    hands.heard(0, [Part(0, 8, 0)])
    while hands.take(1) is not None:
        pass
    theft = hands.theft_for(1, {0: 1.0, 1: 20.0}.__getitem__)
    assert theft is not None
    assert (theft.victim.first, theft.keep) == (0, 2)
    hands.was_cut(WasCut(0, 10))
    rest = hands.take(1)
    assert rest is not None
    assert (rest.first, rest.end) == (10, 50)
