"""Builds what a right submission leaves in a box, computed from the truth, so that tests can spoil parts of it."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from grader.experiment_profiler.boxes import layout, plan
from grader.experiment_profiler.boxes.box import Kind
from grader.experiment_profiler.boxes.steps import steps
from grader.experiment_profiler.boxes.submission import Submission
from grader.experiment_profiler.judging import checks
from grader.experiment_profiler.worlds import truth
from grader.experiment_profiler.worlds.replies import ANY_LATENCY
from task_kit.sandbox import Level, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from grader.experiment_profiler.boxes import box as boxes
    from grader.experiment_profiler.boxes.box import Box
    from grader.experiment_profiler.judging.verdict import Finding

SEED = "a seed for tests"
NAMES = {Kind.API: "world-{} api", Kind.RUN: "world-{} run", Kind.SUMMARIZE: "mixed summarize"}


def outcome(**changes: Any) -> Outcome:
    ended: dict[str, Any] = {
        "exit_code": 0,
        "signal": None,
        "reason": None,
        "stdout": b"",
        "stderr": b"",
        "wall_s": 0.1,
        "own_s": 0.1,
        "cpu_s": 0.1,
        "peak_bytes": 1,
        "leftover": False,
        "level": Level.PROCESS,
    }
    return Outcome(**{**ended, **changes})


@cache
def drawn(seed: str = SEED) -> plan.Drawn:
    return plan.draw(seed, count=3)


def planned(name: str, *, root: Path, seed: str = SEED) -> Box:
    """Return one box of a whole grading."""
    return next(box for box in plan.boxes(drawn(seed), seed=seed, root=root) if box.name == name)


def laid_out(box: Box, *, files: dict[str, bytes] | None = None, seed: str = SEED) -> Box:
    layout.lay_out(box, Submission(path="x", files=files or {}), seed=seed)
    return box


class Run:
    """One box with the files of a right run. A test changes parts of it; `judged` then returns what the checks find."""

    def __init__(self, root: Path, *, kind: Kind = Kind.RUN, number: int = 1, name: str | None = None) -> None:
        self.box = laid_out(planned(name or NAMES[kind].format(number), root=root))
        self.written = False
        self.claims = {step.name: {"told": told(self.box, step)} for step in steps(self.box, SEED)} if self.runs else {}
        for run in self.runs[:1]:
            self.world = run.world
            self.folder = self.box.work / run.folder
            self.requests, self.responses, self.summary = right(run)
        for logs in self.box.logs[:1]:
            self.logs = logs
            self.given = self.box.work / self.box.logs_dir(logs)
            self.given_summary: dict[str, Any] = {
                "experiment_id": logs.folder,
                "dialogues": len(logs.requests),
                **truth.metrics_of(logs),
            }

    @property
    def runs(self) -> tuple[boxes.Run, ...]:
        return self.box.runs

    def claim(self, start: str) -> dict[str, Any]:
        """What the submission returned in the first step of that name."""
        return next(claim for name, claim in self.claims.items() if name.startswith(start))

    def write(self) -> None:
        self.written = True
        for run in self.runs:
            requests, responses, summary = right(run)
            if run is self.runs[0]:
                requests, responses, summary = self.requests, self.responses, self.summary
            folder = self.box.work / run.folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "requests.jsonl").write_bytes(lines(requests))
            (folder / "responses.jsonl").write_bytes(lines(responses))
            (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        if self.box.kind is Kind.API:
            (self.box.work / self.box.claims).write_text(json.dumps(self.claims), encoding="utf-8")
        if self.box.kind is Kind.SUMMARIZE:
            (self.given / "summary.json").write_text(json.dumps(self.given_summary), encoding="utf-8")

    def findings(self, **changes: Any) -> list[Finding]:
        return checks.judge(self.box, outcome(**changes), seed=SEED)

    def judged(self, **changes: Any) -> set[str]:
        """Write everything and return the reason codes of what failed."""
        if not self.written:
            self.write()
        return {finding.reason for finding in self.findings(**changes) if finding.reason is not None}


def right(run: boxes.Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    responses = [
        {name: 0.0 if value is ANY_LATENCY else value for name, value in line.items()}
        for line in truth.responses(run.world, run.replies)
    ]
    summary = {
        "experiment_id": run.world.experiment_id,
        "dialogues": len(run.world.dialogues),
        **truth.metrics(run.world, run.replies),
    }
    return json.loads(json.dumps(truth.requests(run.world))), responses, summary


def told(box: Box, step: boxes.Step) -> Any:
    """What the driver writes down of a right submission."""
    if step.does != "run":
        return json.loads(json.dumps(step.expected, default=lambda _: 0.0))
    run = next(run for run in box.runs if step.name.endswith(run.name))
    folder = box.work / run.folder
    names = {"output_dir": "", "requests_path": "requests.jsonl", "responses_path": "responses.jsonl"}
    return {
        "artifacts": {name: str(folder / file) for name, file in {**names, "summary_path": "summary.json"}.items()},
        "metrics": dict(step.expected),
        "own": truth.metrics(run.world, run.replies, names=truth.METRICS),
    }


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)
