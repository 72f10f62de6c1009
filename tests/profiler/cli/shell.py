"""Commands called in this process, with what they print, and the manifests that many tests of them begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from profiler.cli import main

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "configs" / "sample_experiment.yaml"


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str], runs: Path) -> None:
        self.capsys = capsys
        self.runs = runs

    def __call__(self, *words: str | Path) -> Said:
        code = main.main([str(word) for word in words])
        return Said(code, *self.capsys.readouterr())

    def run(self, config: Path, *words: str) -> Said:
        return self("run", "--config", config, "--output-dir", self.runs, "--mode", "mock", *words)


def manifest(folder: Path, **fields: Any) -> Path:
    data = [{"dialogue_id": f"d{index}", "user": "q", "required_facts": ["q"], "tags": ["t"]} for index in range(4)]
    (folder / "data.json").write_text(json.dumps(data))
    usual = {"experiment_id": "one", "model": "m", "max_tokens": 64, "dataset_path": "data.json"}
    path = folder / "manifest.yaml"
    path.write_text(json.dumps({**usual, **fields}))
    return path


def several(folder: Path) -> Path:
    manifest(folder)
    shared = {"model": "m", "max_tokens": 64, "dataset_path": "data.json"}
    path = folder / "manifest.yaml"
    path.write_text(
        json.dumps({"defaults": shared, "experiments": [{"experiment_id": each} for each in ("a1", "a2", "b1")]})
    )
    return path
