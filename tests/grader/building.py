"""What a right submission leaves behind in a box, made from the truth, for tests to spoil."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grader.experiment_profiler.boxes import layout
from grader.experiment_profiler.boxes.layout import CLAIMS, Box, Kind
from grader.experiment_profiler.boxes.submission import Submission
from grader.experiment_profiler.judging import checks
from grader.experiment_profiler.worlds import truth
from grader.experiment_profiler.worlds import world as worlds
from task_kit.sandbox import Level, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from grader.experiment_profiler.judging.verdict import Finding
    from grader.experiment_profiler.worlds.world import World

SEED = "a seed for tests"


def outcome(**changes: Any) -> Outcome:
    ended: dict[str, Any] = {
        "exit_code": 0,
        "signal": None,
        "reason": None,
        "stdout": b"",
        "stderr": b"",
        "wall_s": 0.1,
        "cpu_s": 0.1,
        "peak_bytes": 1,
        "leftover": False,
        "level": Level.PROCESS,
    }
    return Outcome(**{**ended, **changes})


def laid_out(kind: Kind, world: World, *, root: Path, files: dict[str, bytes] | None = None) -> Box:
    box = layout.plan(kind, world, seed=SEED, root=root)
    layout.lay_out(box, Submission(path="x", files=files or {}))
    return box


class Run:
    """One box with a right run in it. Change its parts, then `judged` says what is found."""

    def __init__(self, root: Path, *, kind: Kind = Kind.RUN, number: int = 1) -> None:
        world = worlds.fresh(SEED, number)
        self.box = laid_out(kind, world, root=root)
        self.world = world
        self.folder = self.box.work / self.box.run_dir
        self.requests = truth.requests(world)
        self.responses = [
            {name: 0.0 if value is truth.ANY_LATENCY else value for name, value in line.items()}
            for line in truth.responses(world)
        ]
        self.summary: dict[str, Any] = {
            "experiment_id": world.experiment_id,
            "dialogues": len(world.dialogues),
            **truth.metrics(world),
        }
        self.claims = self._claims()
        self.given_summary = truth.metrics_of(self.box.logs)

    def _claims(self) -> dict[str, Any]:
        manifest, given = self.world.manifest, self.box.given
        answer = self.world.answers[self.world.dialogues[0]["dialogue_id"]]
        told = {"completion": answer["completion"], "type": answer["metadata"]["type"]}
        paths = {"dataset_path": manifest["dataset_path"], "responses_path": manifest["mock"]["responses_path"]}
        return {
            "step": "done",
            "config": {
                **{name: value for name, value in manifest.items() if name != "mock"},
                **{name: str(given / self.world.resolved(path)) for name, path in paths.items()},
            },
            "simulated": told,
            "chosen": told,
            "live": {"said": "no answer", "tried": True},
            "artifacts": {
                "output_dir": str(self.folder),
                "requests_path": str(self.folder / "requests.jsonl"),
                "responses_path": str(self.folder / "responses.jsonl"),
                "summary_path": str(self.folder / "summary.json"),
            },
            "metrics": truth.metrics(self.world),
            "own": truth.metrics(self.world),
            "foreign": truth.metrics_of(self.box.logs),
        }

    def write(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "requests.jsonl").write_bytes(lines(self.requests))
        (self.folder / "responses.jsonl").write_bytes(lines(self.responses))
        (self.folder / "summary.json").write_text(json.dumps(self.summary), encoding="utf-8")
        if self.box.kind is Kind.API:
            (self.box.work / CLAIMS).write_text(json.dumps(self.claims), encoding="utf-8")
        if self.box.kind is Kind.SUMMARIZE:
            summary = self.box.work / self.box.logs_dir / "summary.json"
            summary.write_text(json.dumps(self.given_summary), encoding="utf-8")

    def findings(self, **changes: Any) -> list[Finding]:
        return checks.judge(self.box, outcome(**changes))

    def judged(self, **changes: Any) -> set[str]:
        """The codes of what failed, after everything was written."""
        if not self.folder.exists():
            self.write()
        return {finding.reason for finding in self.findings(**changes) if finding.reason is not None}


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)
