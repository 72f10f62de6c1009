"""Ranges go out so that fast workers have few of them, and that no answer of a candidate is ever left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import pytest

from profiler.core.json import dump_line
from profiler.dataset.places import Place
from profiler.fleet.coordination.handout import Handout
from profiler.fleet.messages import Part, WasCut
from profiler.fleet.preparing.prepare import owed
from profiler.fleet.workers.range_worker import STATUS_EVERY_S
from profiler.storage.journal import FORMAT, Header
from profiler.storage.shared_runs.range_table import Table
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.fleet.coordination.handout import OpenRange

FAST = 1e9
STEP_S = 0.05
RANGES = 40


def begun(folder: Path, *, items: int = RANGES * 10) -> tuple[RangeFolders, Table]:
    """A run of ranges of ten items."""
    places = [Place(first, 0, first + 1) for first in range(0, items, 10)]
    identity: dict[str, Any] = {}
    table = Table(count=items, identity=identity, started=None, dataset_stamp=(1, 2, 3), copied=False, places=places)
    folders = RangeFolders(folder)
    return folders, folders.begin(table)


def open_candidate(folders: RangeFolders, first: int, *, end: int) -> None:
    header = Header(journal=FORMAT, first=first, count=end - first, identity={}, started=None)
    (folders.begin_candidate(first).folder / "journal.jsonl").write_bytes(dump_line(msgspec.to_builtins(header)))


def handout(folders: RangeFolders, table: Table, *, merged_to: Callable[[], int] = lambda: 0) -> Handout:
    return Handout(owed(folders, table, since=0), folders, merged_to=merged_to)


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


def test_a_candidate_is_taken_up_as_far_as_it_reaches_and_never_swallowed_by_another(tmp_path: Path) -> None:
    folders, table = begun(tmp_path)
    open_candidate(folders, 0, end=50)  # ranges that were answered as one
    open_candidate(folders, 90, end=130)
    open_candidate(folders, 115, end=130)  # what another one has taken over of it
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


@pytest.mark.parametrize(("merged_to", "left"), [(0, (0, 10)), (5, (5, 10)), (10, None), (30, None)])
def test_what_is_committed_and_put_together_before_anybody_hears_of_it_is_not_handed_out_again(
    tmp_path: Path, merged_to: int, left: tuple[int, int] | None
) -> None:
    """Its folder is gone by then, and it would be paid twice."""
    hands = handout(*begun(tmp_path, items=10), merged_to=lambda: merged_to)
    taken = hands.take(0)
    assert taken is not None
    hands.done(taken.first)
    again = hands.take(0)
    assert (again and (again.first, again.end)) == left


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


class Tables(NamedTuple):
    """Ranges as they are on disk, without a disk."""

    done: dict[int, int]

    def candidates(self) -> list[Any]:
        return []

    def chain_end(self, first: int, end: int) -> int:
        while first < end and first in self.done:
            first = self.done[first]
        return first


class Simulated:
    """A worker in simulated time."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.range: OpenRange | None = None
        self.begun = 0.0
        self.answered = 0.0

    def answer(self, seconds: float, *, end: int) -> bool:
        """Whether its range is answered then."""
        before, self.begun = self.begun, min(float(end), self.begun + self.speed * seconds)
        self.answered += self.begun - before
        return self.begun >= end


class Simulation:
    """Workers that are told of ranges, cuts and rests as the coordinator tells them."""

    def __init__(self, items: int, speeds: list[float]) -> None:
        self.now = self.told = 0.0
        self.workers = [Simulated(speed) for speed in speeds]
        self.tables = Tables({})
        ranges = [(first, min(items, first + 10_000)) for first in range(0, items, 10_000)]
        self.hands = Handout(ranges, cast("Any", self.tables), merged_to=lambda: 0)

    def speed(self, number: int) -> float:
        answered = self.workers[number].answered
        return answered / self.now if answered else 1.0

    def seconds(self) -> float:
        """Until all is answered."""
        while not self.hands.over:
            self.now += STEP_S
            for number, worker in enumerate(self.workers):
                self.work(number, worker)
            if self.now - self.told >= STATUS_EVERY_S:
                self.told = self.now
                for number, worker in enumerate(self.workers):
                    if worker.range is not None:
                        self.hands.heard(number, [Part(worker.range.first, int(worker.begun), 0)])
            self.steal()
        return self.now

    def work(self, number: int, worker: Simulated) -> None:
        if worker.range is not None and worker.answer(STEP_S, end=worker.range.end):
            self.tables.done[worker.range.first] = worker.range.end
            self.hands.done(worker.range.first)
            worker.range = None
        if worker.range is None:
            worker.range = self.hands.take(number, among=len(self.workers), speed=self.speed(number))
            worker.begun = 0.0 if worker.range is None else float(worker.range.first)

    def steal(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker.range is None and (theft := self.hands.theft_for(number, self.speed)) is not None:
                begun = int(self.workers[theft.victim.worker].begun) + 1
                self.hands.was_cut(WasCut(theft.victim.first, min(theft.victim.end, begun + theft.keep)))


@pytest.mark.parametrize("speeds", [[27_000.0, 1_350.0], [1_350.0, *[27_000.0] * 7], [27_000.0] * 4])
def test_a_worker_twenty_times_slower_costs_no_more_than_a_tenth_of_the_best_time(speeds: list[float]) -> None:
    items = 400_000 * len(speeds)
    assert Simulation(items, speeds).seconds() <= 1.1 * items / sum(speeds)
