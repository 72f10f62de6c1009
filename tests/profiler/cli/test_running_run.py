"""Commands that look at a run while another process writes it: what they show is of one moment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from profiler.cli.main import main
from profiler.storage.reading.run_marks import holds_run
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 120


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = [{"dialogue_id": f"d{n}", "user": f"What is {n} + 1?", "required_facts": ["sun"]} for n in range(COUNT)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings: dict[str, Any] = {"model": "m", "max_tokens": 9, "dataset_path": "d.jsonl"}
    slow = {"mock": {"latency_s": {"median_s": 0.03, "stalls": {"d0": 0.5}}}, "concurrency": 8}
    path = tmp_path / "m.yaml"
    path.write_text(
        json.dumps({"defaults": settings, "experiments": [{"experiment_id": "base"}, {"experiment_id": "new", **slow}]})
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_every_command_shows_one_moment_of_a_run_that_goes_on_and_ends(
    manifest: Path, processes: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manifest.parent)
    of = ["run", "--config", str(manifest), "--mode", "mock", "--quiet", "--select"]
    assert main([*of, "base"]) == 0
    looks = {
        "compare": ["compare", "runs/base", "runs/new", "--json"],
        "show": ["show", "runs/new", "--json"],
        "export": ["export", "runs/new", "-o", "new.jsonl"],
        "sqlite": ["export", "runs/new", "-o", "new.sqlite"],
        "report": ["report", "runs/base", "runs/new", "-o", "report.html"],
        "list": ["list", "runs", "--json"],
        "summarize": ["summarize", "--log-dir", "runs/new", "--json"],
    }
    seen: list[tuple[int, int]] = []
    with subprocess.Popen([sys.executable, "-m", "profiler", *of, "new", "--processes", processes]) as running:
        ended = False
        while not ended:
            ended = running.poll() is not None
            if not _kept(manifest.parent / "runs" / "new"):
                continue
            for name, words in looks.items():
                capsys.readouterr()
                code = main(words)
                out, err = capsys.readouterr()
                assert code == 0, (name, err)
                if name == "show":
                    shown = len(out.splitlines())
                    assert f"UNFINISHED: {shown} of {COUNT} dialogues are kept" in err or shown == COUNT
                if name == "compare":
                    (against,) = json.loads(out)["against"]
                    paired = against["pairing"]["paired"]
                    assert {each["n"] for each in against["comparisons"]} == {paired}
                    seen.append((paired, COUNT if against["new"]["complete"] else 0))
                    told = f"new is UNFINISHED: {paired} of {COUNT} dialogues are kept"
                    assert any(line.startswith(told) for line in against["warnings"]) != against["new"]["complete"]
    assert running.returncode == 0
    assert seen[-1] == (COUNT, COUNT)
    assert seen == sorted(seen)


def _kept(folder: Path) -> int:
    if not holds_run(folder):
        return 0
    run = SavedRun(folder)
    begun = run.begun()
    return COUNT if run.complete else begun.kept if begun else 0
