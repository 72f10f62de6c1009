"""Grades one submission and returns a `Result`.

    from grader.experiment_profiler.grading.grade import grade

    result = grade("path/to/submission")
    if result.reward_valid:
        learn_from(result.reward, result.reasons)

Worlds are tried in an order that the seed decides, each process in a box of its own. What it left is judged when
everything in it is dead. The first box that exceeds a limit ends the grading, so a submission costs that limit only
once. Nothing that a submission does raises an exception; faults of the machine or the grader give a result with the
status `error`.
"""

from __future__ import annotations

import os
import platform
import runpy
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import profiler
from grader.experiment_profiler.boxes import layout, plan
from grader.experiment_profiler.boxes import submission as submissions
from grader.experiment_profiler.boxes.submission import Submission, UnusableSubmission
from grader.experiment_profiler.boxes.temporary_folder import temporary
from grader.experiment_profiler.grading.boxed import Boxed, counts_questions
from grader.experiment_profiler.judging import partial
from grader.experiment_profiler.judging.reasons import first
from grader.experiment_profiler.judging.verdict import Finding, Result, Status, checks_of, reasons_of
from grader.experiment_profiler.worlds import replies, truth
from task_kit import sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from grader.experiment_profiler.boxes.box import Box
    from grader.experiment_profiler.boxes.plan import Drawn
    from grader.experiment_profiler.worlds.world import World

TASK: Final = "experiment_profiler"
WORLDS: Final = 3
TIMEOUT_S: Final = 10.0
AT_ONCE: Final = min(2, os.cpu_count() or 1)


Watch = Callable[["Box", sandbox.Outcome], None]
Take = Callable[[Path], Submission]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Everything besides the submission that decides a result, so that it can be reached again."""

    seed: str
    worlds: int = WORLDS
    timeout_s: float = TIMEOUT_S
    isolation: str | None = None
    require_isolation: str | None = None
    partial: bool = False
    fail_fast: bool = False

    def public(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def grade(
    submission: str | PathLike[str],
    *,
    task: str = TASK,
    seed: str | int | None = None,
    worlds: int = WORLDS,
    timeout: float = TIMEOUT_S,
    isolation: str | None = None,
    require_isolation: str | None = None,
    partial: bool = False,
    fail_fast: bool = False,
    at_once: int = AT_ONCE,
) -> Result:
    """Grade a submission.

    `seed` None draws a secret one. `fail_fast` ends at the first process that fails: the same verdict sooner, with
    fewer reasons and a smaller share. `isolation` tries a level out instead of the strongest. `at_once` boxes run at
    the same time; that does not change the result.
    """
    if task != TASK:
        raise ValueError(f"task: found {task!r}, expected {TASK!r}")
    asked = Asked(
        seed=draw_seed() if seed is None else str(seed),
        worlds=worlds,
        timeout_s=timeout,
        isolation=isolation,
        require_isolation=require_isolation,
        partial=partial,
        fail_fast=fail_fast,
    )
    return Grading(asked, at_once=at_once).run(Path(submission))


def draw_seed() -> str:
    return secrets.token_hex(16)


def reference() -> Path:
    """The submission that solves the task."""
    return Path(str(layout.TOOLS)).parent / "reference_submission"


class Grading:
    """One run of the grader. Its result is an error until everything else is known."""

    def __init__(self, asked: Asked, *, at_once: int = AT_ONCE, watch: Watch | None = None) -> None:
        self.asked = asked
        self._watch = watch
        self._at_once = at_once
        self._started = time.perf_counter()
        self._phases: dict[str, float] = {}
        self._boxes: dict[str, dict[str, float]] = {}
        self._result = Result(task=TASK, asked=asked.public(), versions=_versions())

    def run(self, folder: Path, *, take: Take = submissions.take) -> Result:
        """`take` reads the submission, where somebody has not read it already."""
        result = self._safely(folder, take)
        self._mark("total")
        return replace(result, timings={"seconds": self._phases, "boxes": self._boxes})

    def _safely(self, folder: Path, take: Take) -> Result:
        """Faults of the grader or the machine become a result too, which says nothing about the submission."""
        try:
            return self._graded(folder, take)
        except UnusableSubmission as error:
            return self._decided(
                [Finding(check="submission", where="the folder", reason="submission", said=str(error))]
            )
        except (sandbox.SandboxError, OSError) as error:
            return replace(self._result, reason="machine", error=f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 (a bug must not look like a verdict, nor end a batch)
            return replace(self._result, reason="grader", error="".join(traceback.format_exception(error)))

    def _graded(self, folder: Path, take: Take) -> Result:
        self._result = replace(self._result, submission={"path": os.fspath(folder)})
        self._isolate()
        self._mark("isolation")
        taken = take(folder)
        self._result = replace(self._result, submission={"path": taken.path, "sha256": taken.sha256})
        drawn = plan.draw(self.asked.seed, count=self.asked.worlds)
        self._mark("worlds")
        boxed = Boxed(
            taken=taken,
            seed=self.asked.seed,
            level=self._level,
            wall_s=self.asked.timeout_s,
            # weaker levels do not separate boxes, which would share files and locks
            at_once=self._at_once if self._level >= sandbox.Level.NAMESPACES else 1,
            fail_fast=self.asked.fail_fast,
            watch=self._watched,
        )
        with temporary() as root:
            planned = plan.boxes(drawn, seed=self.asked.seed, root=root, telling_first=self.asked.fail_fast)
            findings = boxed.findings(planned)
        self._mark("runs")
        return self._decided(findings, drawn=drawn)

    def _mark(self, phase: str) -> None:
        """Note the end of a phase, in seconds from the start."""
        self._phases[phase] = round(time.perf_counter() - self._started, 4)

    def _isolate(self) -> None:
        """Find the isolation level: the strongest here, or the one to try out.

        Raises when less than required is found.
        """
        strongest = sandbox.detect()
        chosen = self.asked.isolation
        found = strongest if chosen is None else sandbox.detect(sandbox.Level.parse(chosen))
        stopped = {probe.name: probe.stopped for probe in found.probes[found.level]}
        self._level = found.level
        told: dict[str, Any] = {"level": found.level.label, "probes": len(stopped), "stopped": sum(stopped.values())}
        told["live_requests"] = "counted" if counts_questions(found.level) else "not_tried"
        if found.level < strongest.level:
            told["lowered_from"] = strongest.level.label
        self._result = replace(self._result, isolation=told)
        wanted = self.asked.require_isolation
        if wanted is not None and found.level < sandbox.Level.parse(wanted):
            raise sandbox.SandboxError(f"isolation {wanted!r} is required, here is only {found.level.label!r}")

    def _watched(self, box: Box, outcome: sandbox.Outcome) -> None:
        self._boxes[box.name] = {
            "wall_s": round(outcome.wall_s, 4),
            "cpu_s": round(outcome.cpu_s, 4),
            "peak_bytes": outcome.peak_bytes,
        }
        if self._watch is not None:
            self._watch(box, outcome)

    def _decided(self, findings: list[Finding], *, drawn: Drawn | None = None) -> Result:
        reasons = reasons_of(findings)
        if not reasons and any(finding.reason is not None for finding in findings):
            raise RuntimeError("nothing failed and yet something was not reached, expected a reason for that")
        passed = not reasons
        share = 1.0 if passed else partial.reward(findings)
        return replace(
            self._result,
            status=Status.PASS if passed else Status.FAIL,
            reward=share if self.asked.partial else float(passed),
            reward_valid=True,
            reason=first(set(reasons)),
            reasons=reasons,
            error=None,
            checks=checks_of(findings),
            metrics=_metrics(findings, share=share, drawn=drawn),
        )


def _metrics(findings: Sequence[Finding], *, share: float, drawn: Drawn | None) -> dict[str, Any]:
    """How many checks held, and the true metrics of every world by its prepared answers."""
    held = sum(finding.reason is None for finding in findings)
    drawn_worlds = (*drawn.full, *drawn.small) if drawn else ()
    return {"findings": len(findings), "held": held, "share": share, "worlds": {w.name: _true(w) for w in drawn_worlds}}


def _true(world: World) -> dict[str, float | None]:
    found = truth.metrics(world, replies.prepared(world, ""))
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def _versions() -> dict[str, str]:
    return {"experiment-profiler": profiler.__version__, "python": platform.python_version()}


if __name__ == "__main__":  # the same as `python -m grader`
    runpy.run_module("grader", run_name="__main__", alter_sys=True)
