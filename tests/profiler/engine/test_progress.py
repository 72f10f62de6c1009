from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from profiler.engine import progress
from profiler.engine.calls.pool_status import PoolStatus
from profiler.engine.progress import Overview, Sums, View
from profiler.provider.source import Source
from tests.profiler.engine.snapshots import snapshot

if TYPE_CHECKING:
    from profiler.core.nouns import Mode


class Run:
    """Has the counters that a pool and a writer keep, for a view to look at."""

    def __init__(self) -> None:
        self.done = 0
        self.failures = {"timeout": 1}

    def status(self) -> PoolStatus:
        return PoolStatus(
            in_flight=3,
            slots=8,
            backing_off=1,
            retried=2,
            failures=dict(self.failures),
            stopping=False,
            held_up_by=None,
        )

    def view(self, *, total: int = 1000, kept: int = 0, mode: Mode = "mock") -> View:
        counters: Any = self
        return View(
            experiment_id="demo", source=Source(mode=mode), total=total, kept=kept, pool=counters, writer=counters
        )


class Clock:
    """Stands where the module `time` stands in `progress`."""

    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "waiting for replies"),
        ({"in_flight": 32}, "waiting for replies (all slots in use)"),
        ({"done": 1998, "in_flight": 2}, "waiting for 2 stragglers"),
        ({"done": 1999, "in_flight": 1}, "waiting for 1 straggler"),
        ({"done": 1998, "in_flight": 1}, "waiting for replies"),
        ({"backing_off": 7, "in_flight": 32}, "waiting for 7 retries to come due"),
        ({"held_up_by": "output tokens 92 %", "backing_off": 7}, "bound by output tokens 92 %"),
        ({"stopping": True, "held_up_by": "x"}, "waiting for 4 calls in flight to end"),
    ],
)
def test_it_says_what_it_waits_for(fields: dict[str, Any], words: str) -> None:
    assert snapshot(**fields).bound_by == words


def test_a_look_shows_the_counters_and_what_was_kept() -> None:
    run = Run()
    run.done = 10
    look = run.view(total=100, kept=40).look()
    assert (look.done, look.total, look.in_flight, look.slots) == (50, 100, 3, 8)
    assert (look.backing_off, look.retried, look.failures, look.stopping) == (1, 2, {"timeout": 1}, False)
    run.failures["timeout"] = 9
    assert look.failures == {"timeout": 1}


def test_the_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    run = Run()
    view = run.view(kept=100)
    for _ in range(20):  # 10 a second, then 50 a second
        clock.now += 1
        run.done += 10
        view.look()
    assert view.look().rate == pytest.approx(10, rel=0.15)
    for _ in range(12):
        clock.now += 1
        run.done += 50
        view.look()
    look = view.look()
    assert look.rate == pytest.approx(50, rel=0.01)
    assert look.eta_s == pytest.approx((1000 - 100 - 800) / 50, rel=0.01)


def test_before_anything_is_done_the_end_is_unknown(clock: Clock) -> None:
    view = Run().view()
    assert (view.look().rate, view.look().eta_s) == (0.0, None)
    clock.now += 1
    assert view.look().eta_s is None


def test_many_looks_do_not_pile_up(clock: Clock) -> None:
    view = Run().view()
    for _ in range(1000):
        clock.now += 0.05
        view.look()
    assert len(view._rate._looks) <= progress.RATE_OVER_S / progress.LEAST_BETWEEN_S + 2


def test_a_run_of_many_adds_up_those_that_have_ended_and_those_that_ask_now() -> None:
    overview = Overview(experiments=3, mode="mock", dialogues={"demo": 1000, "first": 1000, "kept": 5})
    ended, asking = Run(), Run()
    ended.done, asking.done = 10, 20
    first = ended.view()
    overview.add(first)
    overview.asked(first)
    overview.add(asking.view())
    look = overview.look()
    assert (look.done, look.retried, look.failures) == (30, 4, {"timeout": 2})
    assert (look.in_flight, look.slots, look.experiments) == (3, 8, (0, 3))
    assert (look.cost_usd, look.total) == (None, 2005)
    overview.ended("kept", complete=True)  # it was complete already, and never had a view
    assert (overview.look().done, overview.look().experiments) == (35, (1, 3))


def test_money_is_added_up_where_it_is_known() -> None:
    sums = Sums()
    for cost in (None, 0.25, None, 0.5):
        sums.add(snapshot(cost_usd=cost, maybe_billed_usd=None))
    assert (sums.cost_usd, sums.maybe_billed_usd) == (0.75, None)
