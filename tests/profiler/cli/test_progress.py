from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from rich.console import Console

from profiler.cli import progress
from profiler.cli.progress import as_line, duration, lines_to, panel_on
from profiler.engine.progress import Snapshot, WorkerLook
from tests.profiler.engine.snapshots import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable


class Looked:
    """A run that always looks the same."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def look(self) -> Snapshot:
        return snapshot(**self.fields)


def test_a_line_says_all_at_a_glance() -> None:
    assert as_line(snapshot()) == (
        "demo [MOCK] 500/2,000 (25%) | 1,234/s | ETA 1m15s | 4 in flight | waiting for replies"
    )


def test_a_line_and_a_panel_say_how_many_experiments_have_ended() -> None:
    under_way = tuple(snapshot(experiment_id=f"e{at}", done=at, total=20) for at in range(10))
    look = {"experiment_id": "40 experiments", "experiments": (12, 40), "under_way": under_way}
    assert "40 experiments [MOCK] 500/2,000 (25%) | 12 of 40 experiments have ended | " in as_line(snapshot(**look))

    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(progress._panel(snapshot(**look), width=100))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "12 of 40 experiments have ended, 10 are under way" in drawn
    assert "e7  7/20 (35%)  4 in flight" in drawn
    assert "e8" not in drawn
    assert "and 2 more" in drawn


def test_a_line_and_a_panel_say_how_several_processes_fare() -> None:
    workers = tuple(WorkerLook(number=at, answered=100 * at, rate=at, in_flight=2) for at in range(10))
    slow = WorkerLook(number=7, answered=5, rate=1.0, in_flight=2, held_up_by="requests 99 %")
    look = {"workers": (*workers[:7], slow, *workers[8:]), "lost": 1}
    assert " | 10 processes, 1 lost | " in as_line(snapshot(**look))

    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(progress._panel(snapshot(**look), width=100))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "3  300 answered  3/s  2 in flight" in drawn
    assert "7  5 answered  1/s  2 in flight  requests 99 %" in drawn
    assert "and 2 more" in drawn


def test_a_line_tells_failures_and_retries_when_there_are_any() -> None:
    line = as_line(snapshot(failures={"timeout": 2, "overloaded": 1}, retried=5, eta_s=None, mode="live"))
    assert "| errors overloaded 1, timeout 2 | 5 retries |" in line
    assert "[LIVE]" in line
    assert "ETA unknown" in line


def test_an_empty_run_is_done() -> None:
    assert "0/0 (100%)" in as_line(snapshot(total=0, done=0))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0, "0s"), (0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599.9, "1h00m"), (90061, "25h01m")],
)
def test_durations_are_short(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


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


async def watched(watch: Callable[[Any], Any], screen: Screen, **view: Any) -> str:
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, Looked(**view))
            await screen.enough.wait()
            tasks.cancel_scope.cancel()
    return screen.getvalue()


async def test_plain_lines_come_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.001)
    screen = Screen(3)
    lines = (await watched(lines_to(screen), screen)).splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("demo [MOCK] 500/2,000 (25%)") for line in lines)


@pytest.mark.parametrize("mode", ["mock", "live"])
async def test_the_panel_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    monkeypatch.setattr(progress, "PANEL_EVERY_S", 0.001)
    screen = Screen(6)
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    text = await watched(
        panel_on(console), screen, mode=mode, total=10, done=4, in_flight=3, slots=8, retried=2, failures={"timeout": 1}
    )
    assert f"demo · {mode.upper()}" in text
    assert "│ 4 of 10 done" in text  # on a line of its own, below the bar
    assert "in flight 3 of 8   retries 2   errors timeout 1" in text
    assert "\x1b[2K" in text  # lines are cleared, so nothing stays


class Shrinking(Looked):
    """A run during which somebody makes the window smaller."""

    def __init__(self, console: Console, *, width: int) -> None:
        super().__init__()
        self.console = console
        self.width = width
        self.looks = 0

    def look(self) -> Snapshot:
        self.looks += 1
        if self.looks == 3:
            self.console.width = self.width
        return super().look()


@pytest.mark.parametrize(("width", "rows"), [(70, 12), (30, 18), (100, 0)])
async def test_a_panel_that_a_smaller_window_wraps_is_taken_away_whole(
    monkeypatch: pytest.MonkeyPatch, width: int, rows: int
) -> None:
    monkeypatch.setattr(progress, "PANEL_EVERY_S", 0.001)
    screen = Screen(8)
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            run: Any = Shrinking(console, width=width)
            tasks.start_soon(panel_on(console), run)
            await screen.enough.wait()
            tasks.cancel_scope.cancel()
    erased = "\x1b[1A\x1b[2K" * (rows - 1) + "\n" * 5  # of 77 columns and 6 lines; rich expects to be on the last
    assert (f"\r\x1b[2K{erased}" in screen.getvalue()) == (rows > 0)
    text = screen.getvalue()
    drawn = [line for line in text[text.rfind("╭") :].splitlines() if line.startswith(("╭", "╰"))]
    assert {len(line.partition("\x1b")[0].rstrip()) for line in drawn} == {width - progress.ECHO}


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
