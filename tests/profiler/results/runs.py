"""A finished run for tests that look at one: 12 dialogues in mock mode, with a refusal, a cut-off answer and two errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from profiler import Options, run_sync
from profiler.manifest.load import load_manifest
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from pathlib import Path

FORMULA = '=HYPERLINK("http://x","y")'
SPECIAL: dict[int, Any] = {
    1: {"completion": "I cannot help with that.", "stop_reason": "refusal"},
    2: {"completion": "cut o", "stop_reason": "max_tokens"},
    3: {"completion": FORMULA},
    4: {"completion": 'late\nand on two lines, with "quotes" and \x1b[31m colour'},
}


def finished(folder: Path, *, metrics: list[Any] | None = None, extra: dict[str, Any] | None = None) -> SavedRun:
    rows = [
        {
            "dialogue_id": f"d{n}",
            "user": f"What is {n} + 1?",
            "expected": n + 1,
            "tags": ["even" if n % 2 == 0 else "odd"],
            "required_facts": [str(n + 1)],
            "level": n,
            "topic": "=sum",
            **(extra or {}),
        }
        for n in range(12)
    ]
    answers = {f"d{n}": SPECIAL.get(n, {"completion": f"It is {n + 1 if n < 9 else 0}."}) for n in range(12)}
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "answers.json").write_text(json.dumps(answers))
    manifest = {
        "experiment_id": "e",
        "model": "claude-haiku-4-5",
        "max_tokens": 64,
        "dataset_path": "d.jsonl",
        "metrics": metrics or ["fact_coverage", "refusal_rate", "completion_rate", "geometric_mean", "numeric"],
        "mock": {
            "responses_path": "answers.json",
            "latency_s": {"median_s": 0, "stalls": {"d5": 0.02, "d6": 0.01}},
            "faults": {"invalid_request": 0.2},
            "seed": 4,
        },
    }
    (folder / "m.yaml").write_text(json.dumps(manifest))
    (experiment,) = load_manifest(folder / "m.yaml").experiments
    run_sync(experiment, options=Options(output_dir=folder / "runs", mode="mock"))
    return SavedRun(folder / "runs" / "e")
