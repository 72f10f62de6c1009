"""Small experiments, and the reference that runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from reference_submission.experiment_profiler.config import ExperimentConfig
from reference_submission.experiment_profiler.runner import ExperimentRunner, RunResult
from reference_submission.experiment_profiler.simulation import ClientFactory
from tools.anthropic_client import Completion

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.anthropic_client import Client
    from tools.dataset import Sample


class Scripted(ClientFactory):
    """A factory whose client does as a test says."""

    def __init__(self, complete: Callable[[Sample], Completion]) -> None:
        super().__init__(Path("nowhere.json"))
        self.complete = complete

    def build_live_or_simulated(self, *, model: str, max_tokens: int, temperature: float) -> Client:
        return self


def world(folder: Path, *, dialogues: int = 3, **settings: Any) -> Path:
    """A manifest with a dataset of its own; what is in `settings` replaces its keys."""
    items = [
        {"dialogue_id": f"d{9 - number}", "system": "s\u2028", "user": f"u{number}", "required_facts": ["Fact"]}
        for number in range(dialogues)
    ]
    (folder / "dialogues.json").write_text(json.dumps(items), encoding="utf-8")
    (folder / "answers.json").write_text(
        json.dumps({item["dialogue_id"]: {"completion": f"fact {item['user']}"} for item in items}), encoding="utf-8"
    )
    manifest = {
        "experiment_id": "w.1",
        "model": "claude-x",
        "max_tokens": 7,
        "temperature": 0.25,
        "dataset_path": "dialogues.json",
        "log_schema_version": 3,
        "output_fields": ["type", "dialogue_id", "completion"],
        "metrics": ["fact_coverage", "refusal_rate", "geometric_mean"],
        "mock": {"responses_path": "answers.json"},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest | settings), encoding="utf-8")
    return folder / "manifest.yaml"


def run(manifest: Path, factory: ClientFactory | None = None) -> RunResult:
    config = ExperimentConfig.from_yaml(manifest)
    runner = ExperimentRunner(config=config, factory=factory or ClientFactory(config.responses_path))
    return runner.run(manifest.parent / "runs")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
