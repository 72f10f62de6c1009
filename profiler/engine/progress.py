"""How far a run is, for people: a live panel on a terminal, plain lines elsewhere.

Comes in: the counters that the pool and the writer keep anyway. Goes out: a few lines a second at
most, on stderr. Nothing is done per dialogue, and nothing here can change a run.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO

import anyio
import msgspec

from profiler.money.budget import usd
from profiler.money.prices import dollars, pico

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rich.console import Console, RenderableType

    from profiler.core.nouns import Mode
    from profiler.engine.pool import Pool
    from profiler.money.budget import Budget
    from profiler.storage.writer import Writer

PANEL_EVERY_S = 0.25
ECHO = 3  # columns beside the panel, so that the ^C that a terminal echoes does not begin a line of its own
LINE_EVERY_S = 5.0
RATE_OVER_S = 10.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a run."""

    experiment_id: str
    mode: Mode
    total: int
    done: int
    rate: float
    eta_s: float | None
    in_flight: int
    slots: int
    backing_off: int
    retried: int
    failures: dict[str, int]
    stopping: bool
    held_up_by: str | None
    cost_usd: float | None = None
    maybe_billed_usd: float | None = None
    projected_usd: float | None = None

    @property
    def money(self) -> str | None:
        """What was spent and what it will come to, in words; None where no price is known."""
        if self.cost_usd is None:
            return None
        words = f"{usd(pico(self.cost_usd))} spent"
        if self.maybe_billed_usd:
            words += f" (and up to {usd(pico(self.maybe_billed_usd))} maybe billed)"
        return words if self.projected_usd is None else f"{words}, about {usd(pico(self.projected_usd))} in all"

    @property
    def bound_by(self) -> str:
        """What keeps the run from being over, in words."""
        owed = self.total - self.done
        if self.stopping:
            return f"waiting for {self.in_flight} calls in flight to end"
        if self.held_up_by:
            return f"bound by {self.held_up_by}"
        if self.backing_off:
            return f"waiting for {self.backing_off} retries to come due"
        if self.in_flight and owed <= self.in_flight:
            return f"waiting for {owed} straggler{'s' if owed != 1 else ''}"
        if self.in_flight >= self.slots:
            return "waiting for replies (all slots in use)"
        return "waiting for replies"


class View:
    """Looks at a run from outside; the rate is taken over the last seconds."""

    def __init__(
        self,
        *,
        experiment_id: str,
        mode: Mode,
        total: int,
        kept: int,
        pool: Pool,
        writer: Writer,
        budget: Budget | None = None,
    ) -> None:
        self._experiment_id = experiment_id
        self._mode = mode
        self._total = total
        self._kept = kept
        self._pool = pool
        self._writer = writer
        self._budget = budget
        self._looks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def look(self) -> Snapshot:
        done = self._writer.done
        rate = self._rate(done)
        owed = self._total - self._kept - done
        return Snapshot(
            experiment_id=self._experiment_id,
            mode=self._mode,
            total=self._total,
            done=self._kept + done,
            rate=rate,
            eta_s=owed / rate if rate else None,
            in_flight=self._pool.in_flight,
            slots=self._pool.slots.limit,
            backing_off=self._pool.backing_off,
            retried=self._pool.retried,
            failures=dict(self._pool.failures),
            stopping=self._pool.stopped is not None,
            held_up_by=self._pool.holds_up,
            **self._money(self._kept + done),
        )

    def enough_usd(self) -> float | None:
        """A cap with which the run would probably end: what it will come to and a tenth more, in round figures."""
        budget = self._budget
        if budget is None or budget.cap is None:
            return None
        projected = self.look().projected_usd or 0.0
        wanted = max(projected * 1.1, dollars(budget.wanted) * 1.1, dollars(budget.cap) * 1.5)
        unit = 10.0 ** (math.floor(math.log10(wanted)) - 1)
        return float(f"{math.ceil(wanted / unit) * unit:.2g}")

    def _money(self, done: int) -> dict[str, float | None]:
        """The dialogues to come are taken to cost what the ones before them cost."""
        budget = self._budget
        if budget is None:
            return {}
        gone = budget.spent + budget.maybe
        return {
            "cost_usd": dollars(budget.spent),
            "maybe_billed_usd": dollars(budget.maybe),
            "projected_usd": dollars(gone) / done * self._total if done else None,
        }

    def _rate(self, done: int) -> float:
        now = time.monotonic()
        while len(self._looks) > 1 and self._looks[1][0] < now - RATE_OVER_S:
            self._looks.popleft()
        since, before = self._looks[0]
        if now - self._looks[-1][0] >= PANEL_EVERY_S / 2:
            self._looks.append((now, done))
        return (done - before) / (now - since) if now > since else 0.0


def lines_to(file: TextIO) -> Callable[[View], Coroutine[Any, Any, None]]:
    """A plain line every few seconds, for logs and pipes."""

    async def watch(view: View) -> None:
        while True:
            await anyio.sleep(LINE_EVERY_S)
            print(as_line(view.look()), file=file, flush=True)

    return watch


def panel_on(console: Console) -> Callable[[View], Coroutine[Any, Any, None]]:
    """One panel that is redrawn in place."""
    from rich.live import Live  # noqa: PLC0415 (rich is loaded only when it draws)

    async def watch(view: View) -> None:
        with Live(
            _panel(view.look(), width=console.width - ECHO),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        ) as live:
            while True:
                live.update(_panel(view.look(), width=console.width - ECHO), refresh=True)
                await anyio.sleep(PANEL_EVERY_S)

    return watch


def as_line(look: Snapshot) -> str:
    share = look.done / look.total if look.total else 1.0
    parts = [
        f"{look.experiment_id} [{look.mode.upper()}] {look.done:,}/{look.total:,} ({share:.0%})",
        f"{look.rate:,.0f}/s",
        f"ETA {duration(look.eta_s)}",
        f"{look.in_flight} in flight",
    ]
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
    ]
    bar = Padding(ProgressBar(total=max(look.total, 1), completed=look.done), 0)  # which ends the bar's line
    return Panel(
        Group(bar, *(Text(line) for line in lines)),
        title=f"{look.experiment_id} · {look.mode.upper()}",
        title_align="left",
        width=width,
        border_style="yellow" if look.mode == "mock" else "green",
    )
