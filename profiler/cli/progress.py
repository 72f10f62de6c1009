"""Draws the progress of a run on stderr: a live panel on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TextIO

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rich.console import Console, RenderableType

    from profiler.engine.progress import Looks, Snapshot

    Draws = Callable[[Looks], Coroutine[Any, Any, None]]

PANEL_EVERY_S = 0.25
ECHO = 3  # columns left free beside the panel, for the ^C that a terminal echoes
LEAST_WIDTH = 20
LINE_EVERY_S = 5.0
SHOWN = 8  # the most experiments, or processes, that get a line of their own


def drawn_on(file: TextIO) -> Draws:
    """What draws the progress: a live panel where the terminal can show one, else plain lines."""
    if file.isatty() and os.environ.get("TERM") != "dumb" and (file.encoding or "").lower() == "utf-8":
        try:
            from rich.console import Console  # noqa: PLC0415 (rich is loaded only when it draws)
        except ImportError:
            return lines_to(file)
        return panel_on(Console(file=file))
    return lines_to(file)


def lines_to(file: TextIO) -> Draws:
    """Print a plain line every few seconds, for logs and pipes."""

    async def watch(overview: Looks) -> None:
        while True:
            await anyio.sleep(LINE_EVERY_S)
            print(as_line(overview.look()), file=file, flush=True)

    return watch


def panel_on(console: Console) -> Draws:
    """Redraw one panel in place."""
    from rich.live import Live  # noqa: PLC0415 (rich is loaded only when it draws)

    async def watch(overview: Looks) -> None:
        drawn = max(LEAST_WIDTH, console.width - ECHO)
        panel = _panel(overview.look(), width=drawn)
        with Live(
            panel,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        ) as live:
            while True:
                width = console.width
                # The terminal has become narrower and has wrapped the rows of the panel. Rich would erase too few of
                # them.
                if width < drawn:
                    height = len(console.render_lines(panel, console.options.update_width(drawn)))
                    console.file.write(_unwrapped(height=height, drawn=drawn, width=width))
                drawn = max(LEAST_WIDTH, width - ECHO)
                panel = _panel(overview.look(), width=drawn)
                live.update(panel, refresh=True)
                await anyio.sleep(PANEL_EVERY_S)

    return watch


def _unwrapped(*, height: int, drawn: int, width: int) -> str:
    """Escape codes that erase a panel which a shrinking terminal has wrapped onto more rows than rich knows of.

    They leave the cursor where rich expects it: at the last row of a panel of the old height.
    """
    rows = height * -(-drawn // width)
    return "\r\x1b[2K" + "\x1b[1A\x1b[2K" * (rows - 1) + "\n" * (height - 1)


def as_line(look: Snapshot) -> str:
    share = look.done / look.total if look.total else 1.0
    parts = [
        f"{look.experiment_id} [{look.answered_by}] {look.done:,}/{look.total:,} ({share:.0%})",
        f"{look.rate:,.0f}/s",
        f"ETA {duration(look.eta_s)}",
        f"{look.in_flight} in flight",
    ]
    if look.experiments is not None:
        parts.insert(1, "{:,} of {:,} experiments have ended".format(*look.experiments))
    if look.workers or look.lost:
        parts.append(_processes(look))
    if look.money:
        parts.append(look.money)
    if look.failures:
        parts.append("errors " + ", ".join(f"{kind} {count}" for kind, count in sorted(look.failures.items())))
    if look.retried:
        parts.append(f"{look.retried} retries")
    parts.append(look.bound_by)
    return " | ".join(parts)


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def _under_way(look: Snapshot) -> list[str]:
    """A line for each experiment that is under way, as many as a panel has room for."""
    if look.experiments is None:
        return []
    ended, every = look.experiments
    lines = [f"{ended:,} of {every:,} experiments have ended, {len(look.under_way):,} are under way"]
    for each in look.under_way[:SHOWN]:
        share = each.done / each.total if each.total else 1.0
        lines.append(f"  {each.experiment_id}  {each.done:,}/{each.total:,} ({share:.0%})  {each.in_flight} in flight")
    if len(look.under_way) > SHOWN:
        lines.append(f"  and {len(look.under_way) - SHOWN} more")
    return lines


def _by_worker(look: Snapshot) -> list[str]:
    """A line for each of several processes, as many as a panel has room for."""
    if not (look.workers or look.lost):
        return []
    lines = [_processes(look)]
    for each in look.workers[:SHOWN]:
        held_up = f"  {each.held_up_by}" if each.held_up_by else ""
        lines.append(
            f"  {each.number}  {each.answered:,} answered  {each.rate:,.0f}/s  {each.in_flight:,} in flight{held_up}"
        )
    if len(look.workers) > SHOWN:
        lines.append(f"  and {len(look.workers) - SHOWN} more")
    return lines


def _processes(look: Snapshot) -> str:
    lost = f", {look.lost:,} lost" if look.lost else ""
    return f"{len(look.workers):,} process{'es' if len(look.workers) != 1 else ''}{lost}"


def _panel(look: Snapshot, *, width: int) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415 (rich is loaded only when it draws)
    from rich.padding import Padding  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    errors = ", ".join(f"{kind} {count:,}" for kind, count in sorted(look.failures.items())) or "none"
    lines = [
        f"{look.done:,} of {look.total:,} done   {look.rate:,.0f}/s   ETA {duration(look.eta_s)}",
        f"in flight {look.in_flight:,} of {look.slots:,}   retries {look.retried:,}   errors {errors}",
        look.bound_by,
        *([look.money] if look.money else []),
        *_under_way(look),
        *_by_worker(look),
    ]
    bar = Padding(ProgressBar(total=max(look.total, 1), completed=look.done), 0)  # which ends the bar's line
    return Panel(
        Group(bar, *(Text(line) for line in lines)),
        title=f"{look.experiment_id} · {look.answered_by}",
        title_align="left",
        width=width,
        border_style="yellow" if look.mode == "mock" else "green",
    )
