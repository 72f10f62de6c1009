"""Runs the boxes of one grading. Each is judged and cleared as soon as it has ended, so that its files take no room.

Two budgets hold for all processes together. The first box that passes a limit, or with `fail_fast` the first that
fails, ends the grading. Boxes run at once, but their results count in the order of the plan, so the verdict does not
depend on which ran first.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.boxes import layout, room
from grader.experiment_profiler.boxes.wire import Wire
from grader.experiment_profiler.grading.threads import Pool
from grader.experiment_profiler.judging import checks
from grader.experiment_profiler.judging.verdict import Finding
from task_kit import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from grader.experiment_profiler.boxes.box import Box
    from grader.experiment_profiler.boxes.submission import Submission

CPU_S: Final = 5.0  # of each process
OUTPUT_BYTES: Final = 256 << 10  # of each process: one of them makes several runs, and honest programs talk
ALL_CPU_S: Final = 30.0  # of all processes of a grading together
ALL_WALL_S: Final = 60.0  # time of all processes together, without what they waited for a turn on the processor
TOGETHER: Final = "all processes together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One box that was judged and cleared."""

    findings: list[Finding]
    outcome: sandbox.Outcome

    @property
    def failed(self) -> bool:
        return any(finding.reason is not None for finding in self.findings)

    def decides(self, *, fail_fast: bool) -> bool:
        """Whether the verdict is known, so that no further box needs to be run."""
        return self.outcome.reason is not None or (fail_fast and self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxed:
    """How boxes are run; the same for all boxes of a grading."""

    taken: Submission
    seed: str
    level: sandbox.Level
    wall_s: float
    at_once: int
    fail_fast: bool
    watch: Callable[[Box, sandbox.Outcome], None]

    def findings(self, plan: Sequence[Box]) -> list[Finding]:
        found: list[Finding] = []
        cpu_s = wall_s = 0.0
        enough = False
        decided_at: list[int] = []  # places in the plan; no box after the first of them counts

        def unless_decided(place: int, box: Box) -> Ended | None:
            if decided_at and min(decided_at) < place:
                return None
            ended = self._ended(box)
            if ended.decides(fail_fast=self.fail_fast):
                decided_at.append(place)
            return ended

        with Pool(self.at_once) as pool:
            waiting = [pool.submit(unless_decided, place, box) for place, box in enumerate(plan)]
            for box, future in zip(plan, waiting, strict=True):
                ended: Ended | None = None if enough else future.result()
                if ended is None:
                    future.cancel()
                    found += checks.not_run(box)
                    continue
                cpu_s, wall_s = cpu_s + ended.outcome.cpu_s, wall_s + ended.outcome.own_s
                over = list(_over_budget(cpu_s, wall_s)) if ended.outcome.reason is None else []
                found += [*ended.findings, *over]
                enough = bool(over) or ended.decides(fail_fast=self.fail_fast)
        return found

    def _ended(self, box: Box) -> Ended:
        limits = sandbox.Limits(wall_s=self.wall_s, cpu_s=CPU_S, output_bytes=OUTPUT_BYTES)
        wired = counts_questions(self.level) and box.asks_live
        kept = None
        try:
            kept = room.keep(
                box.folder.parent,
                disk_bytes=limits.disk_bytes,
                lay_out=lambda: layout.lay_out(box, self.taken, seed=self.seed, wired=wired),
            )
            with Wire(box) if wired else nullcontext() as wire:
                outcome = sandbox.run(box.spec(limits, room=kept, wired=wired), level=self.level)
            self.watch(box, outcome)
            asked = wire.asked if wire else None
            return Ended(findings=checks.judge(box, outcome, seed=self.seed, asked=asked), outcome=outcome)
        finally:
            layout.clear(box)
            if kept is not None:
                kept.unlink(missing_ok=True)


def counts_questions(level: sandbox.Level) -> bool:
    """Whether live requests can be answered, and counted, outside of the box."""
    return level is sandbox.Level.NAMESPACES


def _over_budget(cpu_s: float, wall_s: float) -> Iterator[Finding]:
    for reason, used, most in (("cpu", cpu_s, ALL_CPU_S), ("timeout", wall_s, ALL_WALL_S)):
        if used > most:
            said = f"{used:.0f} s were used, of {most:.0f} s for all"
            yield Finding(check="limits", where=TOGETHER, reason=reason, said=said)
