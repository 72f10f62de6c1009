"""Every call is made and tells what it found, whoever is lost; and who kills its workers takes nobody along."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest

from grader.workers.crew import TRIES, Broken, Crew, CrewFailed, InOrder
from grader.workers.messages import Alive, Done, Raised
from profiler.fleet.coordination.watchdog import Watchdog
from profiler.fleet.drivers.driver import Lost
from tests.grader.workers.scripted import Scripted, calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grader.workers.messages import Assignment, Report

KILLED = Lost("was ended by SIGKILL", "its last words")


async def found_by(workers: Scripted, given: Sequence[bytes], *, size: int) -> dict[int, bytes | Broken]:
    found: dict[int, bytes | Broken] = {}

    def heard(number: int, what: bytes | Broken) -> None:
        assert number not in found
        found[number] = what

    await Crew(workers, size=size).run("m:f", given, heard=heard)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 9])
async def test_each_call_is_made_once(size: int) -> None:
    workers = Scripted(calls(bytes.upper), last_first=True)

    assert await found_by(workers, [b"a", b"b", b"c"], size=size) == {0: b"A", 1: b"B", 2: b"C"}
    assert sorted(number for _, number in workers.told) == [0, 1, 2]
    assert len(workers.started) == size


async def test_who_kills_three_workers_gets_no_fourth_and_takes_nobody_along() -> None:
    tries: Counter[int] = Counter()

    def says(_: int, assignment: Assignment) -> list[Report | Lost]:
        tries[assignment.number] += 1
        if assignment.given == b"deadly":
            return [KILLED]
        return [Done(number=assignment.number, found=b"")]

    found = await found_by(Scripted(says), [b"", b"", b"", b"deadly", b"", b""], size=2)

    (broken,) = [what for what in found.values() if isinstance(what, Broken)]
    assert broken == found[3]
    assert "each of 3 workers that did it was lost; the last was ended by SIGKILL" in str(broken)
    assert str(broken).endswith("its last words")
    assert tries == {0: 1, 1: 1, 2: 1, 3: TRIES, 4: 1, 5: 1}


async def test_a_lost_node_costs_a_try_and_another_worker_takes_its_place() -> None:
    workers = Scripted(lambda worker, it: [KILLED] if worker == 0 else [Done(number=it.number, found=it.given)])

    assert await found_by(workers, [b"a"], size=1) == {0: b"a"}
    assert workers.started == [0, 1]


async def test_what_was_lost_last_waits_for_a_new_worker_where_the_idle_one_is_lost_too() -> None:
    def says(worker: int, it: Assignment) -> list[Report | Lost]:
        if worker:
            return [Done(number=it.number, found=it.given)]
        workers.lose(1, KILLED)  # which by then has asked in vain for more to do
        return [KILLED]

    workers = Scripted(says)

    assert await found_by(workers, [b"a"], size=2) == {0: b"a"}
    assert workers.started == [0, 1, 2]


async def test_an_exception_is_a_bug_that_comes_again_so_it_is_not_tried_again() -> None:
    workers = Scripted(lambda _, it: [Alive(), Raised(number=it.number, lines="Traceback: mine")])

    found = await found_by(workers, [b"a"], size=1)

    assert "Traceback: mine" in str(found[0])
    assert workers.told == [(0, 0)]


async def test_workers_that_end_before_they_begin_end_the_work_and_say_why() -> None:
    lost = Lost("ended with exit code 1", "ModuleNotFoundError: No module named 'grader'")

    with pytest.raises(CrewFailed, match="No module named 'grader'"):
        await found_by(Scripted(calls(bytes), begins=lambda _: lost), [b"a"], size=2)


async def test_no_call_gets_far_ahead_of_the_oldest_that_has_not_ended() -> None:
    ended: list[int] = []
    newest = 0

    def given() -> Iterator[bytes]:
        nonlocal newest
        for number in range(20):
            newest = number
            yield b""

    def says(_: int, assignment: Assignment) -> list[Report | Lost]:
        """The first worker is lost with the first call when the others cannot go on."""
        if assignment.number == 0:
            return [] if newest == 0 else [Done(number=0, found=b"")]
        assert newest < 6 or 0 in ended
        return [Done(number=assignment.number, found=b"")]

    class Stuck(Scripted):
        async def poll(self) -> tuple[int, Report | Lost]:
            return await super().poll() if self._said else (0, KILLED)

    await Crew(Stuck(says), size=2, ahead=6).run("m:f", given(), heard=InOrder(lambda number, _: ended.append(number)))

    assert ended == list(range(20))


async def test_a_call_may_take_much_longer_than_a_worker_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grading takes minutes, and a worker on a cluster is given up after 20 seconds of silence: it says that it lives."""
    monkeypatch.setattr("profiler.fleet.coordination.watchdog.LOOK_EVERY_S", 0.0)  # every look counts

    class Impatient(Scripted):
        patience_s = 3.0

    workers = Impatient(lambda _, it: [Alive()] * 50 + [Done(number=it.number, found=b"in the end")])
    assert await found_by(workers, [b""], size=1) == {0: b"in the end"}
    assert workers.started == [0]


async def test_one_that_says_nothing_any_more_is_ended_and_its_call_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that cannot be ended either is not waited for; what it says later is not heard."""
    monkeypatch.setattr("grader.workers.crew.LOOK_EVERY_S", 0.001)
    ended: list[int] = []

    class Silent(Scripted):
        async def poll(self) -> tuple[int, Report | Lost]:
            if not self._said:
                await anyio.sleep_forever()
            return await super().poll()

        def stop(self, worker: int) -> None:
            ended.append(worker)
            if worker == 0:
                self._said.append((0, KILLED))

        def start(self, worker: int) -> None:
            super().start(worker)
            if worker == 3:
                self._said.append((1, Done(number=1, found=b"too late")))

    class Looks(Watchdog):
        """Sees both hang, and later that the second is still there."""

        def look(self) -> tuple[list[int], list[int]]:
            return ([], []) if workers._said else next(seen, ([], []))

    seen = iter([([0, 1], []), ([], [1])])
    workers = Silent(lambda worker, it: [Done(number=it.number, found=b"by %d" % worker)] if worker > 1 else [])
    monkeypatch.setattr("grader.workers.crew.Watchdog", Looks)

    assert await found_by(workers, [b"", b""], size=2) == {0: b"by 2", 1: b"by 3"}
    assert ended == [0, 1]
