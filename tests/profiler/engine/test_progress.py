from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from rich.console import Console

from profiler.engine import progress
from profiler.engine.progress import Snapshot, View, as_line, duration, lines_to, panel_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Mode


def snapshot(**fields: Any) -> Snapshot:
    usual: dict[str, Any] = {
        "experiment_id": "demo",
        "mode": "mock",
        "total": 2000,
        "done": 500,
        "rate": 1234.5,
        "eta_s": 75.0,
        "in_flight": 4,
        "slots": 32,
        "backing_off": 0,
        "retried": 0,
        "failures": {},
        "stopping": False,
        "held_up_by": None,
    }
    return Snapshot(**{**usual, **fields})


class Slots:
    limit = 8


class Run:
    """Has the counters that a pool and a writer keep, for a view to look at."""

    def __init__(self) -> None:
        self.done = 0
        self.in_flight = 3
        self.slots = Slots()
        self.backing_off = 1
        self.retried = 2
        self.failures = {"timeout": 1}
        self.stopped: Exception | None = None
        self.holds_up: str | None = None

    def view(self, *, total: int = 1000, kept: int = 0, mode: Mode = "mock") -> View:
        counters: Any = self
        return View(experiment_id="demo", mode=mode, total=total, kept=kept, pool=counters, writer=counters)


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


def test_a_line_says_all_at_a_glance() -> None:
    assert as_line(snapshot()) == (
        "demo [MOCK] 500/2,000 (25%) | 1,234/s | ETA 1m15s | 4 in flight | waiting for replies"
    )


def test_a_line_tells_failures_and_retries_when_there_are_any() -> None:
    line = as_line(snapshot(failures={"timeout": 2, "overloaded": 1}, retried=5, eta_s=None, mode="live"))
    assert "| errors overloaded 1, timeout 2 | 5 retries |" in line
    assert "[LIVE]" in line
    assert "ETA unknown" in line


def test_an_empty_run_is_done() -> None:
    assert "0/0 (100%)" in as_line(snapshot(total=0, done=0))


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
    assert as_line(snapshot(**fields)).endswith(f" | {words}")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0, "0s"), (0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599.9, "1h00m"), (90061, "25h01m")],
)
def test_durations_are_short(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


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
    assert len(view._looks) <= progress.RATE_OVER_S / (progress.PANEL_EVERY_S / 2) + 2


class Screen(io.StringIO):
    """A terminal that says when it has been written to often enough."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.left = enough
        self.enough = anyio.Event()

    def flush(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self.enough.set()


async def watched(watch: Callable[[View], Any], screen: Screen, **view: Any) -> str:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, Run().view(**view))
            await screen.enough.wait()
            tasks.cancel_scope.cancel()
    return screen.getvalue()


async def test_plain_lines_come_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.001)
    screen = Screen(3)
    lines = (await watched(lines_to(screen), screen)).splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("demo [MOCK] 0/1,000 (0%)") for line in lines)


@pytest.mark.parametrize("mode", ["mock", "live"])
async def test_the_panel_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    monkeypatch.setattr(progress, "PANEL_EVERY_S", 0.001)
    screen = Screen(6)
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    text = await watched(panel_on(console), screen, mode=mode, total=10, kept=4)
    assert f"demo · {mode.upper()}" in text
    assert "│ 4 of 10 done" in text  # on a line of its own, below the bar
    assert "in flight 3 of 8   retries 2   errors timeout 1" in text
    assert "\x1b[2K" in text  # lines are cleared, so nothing stays


@pytest.mark.parametrize(("of", "period"), [("panel", "PANEL_EVERY_S"), ("lines", "LINE_EVERY_S")])
async def test_nothing_is_drawn_more_than_four_times_a_second(
    monkeypatch: pytest.MonkeyPatch, of: str, period: str
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await anyio.lowlevel.checkpoint()

    screen = Screen(20)
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(anyio, "sleep", sleep)
    await watched(panel_on(console) if of == "panel" else lines_to(screen), screen)
    assert set(slept) == {getattr(progress, period)}
    assert min(slept) >= 0.25
