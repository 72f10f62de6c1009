"""A run on a Ray cluster that loses a node, and one that loses its broker."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-ray" / "bin" / "python"  # `make ray` makes it
RESULTS = ["requests.jsonl", "responses.jsonl", "scores.jsonl", "summary.json"]
CAP_USD = 0.1
PATIENCE_S = 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists() and os.environ.get("RAY") != "required", reason="`make ray` was not run"),
]


def test_the_bytes_are_those_of_one_process_and_the_cap_holds_whatever_is_lost(tmp_path: Path) -> None:
    """One test, for one cluster: starting it takes most of the time."""
    command = [str(PYTHON), "-m", "tests.ray.on_a_cluster", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    graded, mock, live = seen["graded"], seen["mock"], seen["live"]

    assert graded["killed_in_time"]
    assert graded["codes"] == [1, 1], graded["said"]
    assert graded["verdicts"] == {"cheat": "fail", "crasher": "fail", "reference": "pass", "spy": "pass"}
    assert graded["equal"]
    assert graded["without_a_box"] == ["fail"]  # the spy can see

    fewer = seen["graded_on_fewer"]
    assert fewer["killed_in_time"]
    assert fewer["code"] == 0, fewer["said"]
    assert fewer["verdicts"] == {f"node-{name}": "pass" for name in "abcd"}

    assert mock["killed_in_time"]
    assert mock["code"] == 0, mock["said"]
    assert "was lost with its node, 127.0.0.5; another one takes its place" in mock["said"]
    assert "raylet" not in mock["said"]  # Ray's own pages about it
    assert mock["equal"] == RESULTS

    assert live["killed_in_time"]
    assert live["code"] == 4, live["said"]
    assert 0.8 * CAP_USD <= live["billed_usd"] <= CAP_USD
    assert (live["key_in"], live["key_said"]) == ([], False)
