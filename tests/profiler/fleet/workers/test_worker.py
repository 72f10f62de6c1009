"""A worker as a process: what people see when it ends by a bug."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

OURS = """
import sys
from profiler import rate

candidates = sys.modules.get("profiler.fleet.workers.range_candidate")
if candidates is not None:  # in a worker
    def broken(*_):
        raise ZeroDivisionError("nobody thought of that")
    candidates.RangeCandidate._commit = broken

metric = rate("mine", lambda outcome: True)
"""
THEIRS = """
from profiler import rate

def score(outcome):
    return outcome.metadata["no such key"]

metric = rate("mine", score)
"""


@pytest.mark.parametrize("bug", [OURS, THEIRS], ids=["ours", "theirs"])
def test_a_bug_in_a_worker_ends_the_command_with_70_and_says_where_it_is(tmp_path: Path, bug: str) -> None:
    rows = [{"dialogue_id": f"d{number}", "user": "q", "required_facts": ["q"]} for number in range(50)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.py").write_text(bug)
    asked = {"experiment_id": "one", "model": "m", "max_tokens": 8, "dataset_path": "d.jsonl"}
    (tmp_path / "m.yaml").write_text(json.dumps({**asked, "metrics": ["completion_rate", "own:metric"]}))
    words = ["run", "--config", "m.yaml", "--mode", "mock", "--processes", "2"]
    ended = subprocess.run(
        [sys.executable, "-m", "profiler", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 70, ended
    said = ended.stderr.splitlines()
    if bug is OURS:
        assert "failed: ZeroDivisionError: nobody thought of that; the last lines of its log:" in ended.stderr
        assert said[-1] == "ZeroDivisionError: nobody thought of that"
        assert f'File "{tmp_path}/own.py", line 8, in broken' in ended.stderr
        assert not (tmp_path / "runs" / "one" / "summary.json").exists()
    else:
        assert "metric 'mine' failed and has no value: at dialogue 'd0': KeyError: 'no such key' (own.py:5)" in said
        summary = json.loads((tmp_path / "runs" / "one" / "summary.json").read_bytes())
        assert (summary["mine"], summary["completion_rate"]) == (None, 1.0)
