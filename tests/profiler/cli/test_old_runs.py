"""Run folders that an older version left stay readable by every command; see tests/fixtures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import profiler
from profiler.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
FORMATS = sorted(path.name for path in FIXTURES.glob("format_*"))


@pytest.fixture(params=FORMATS)
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / request.param, tmp_path / "runs"))


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints; it must succeed."""

    def say(*words: str | Path, code: int = 0) -> str:
        assert main([str(word) for word in words]) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        return out if code == 0 else err

    return say


@pytest.mark.parametrize("name", ["demo_run", "old_live"])
def test_a_complete_one_is_summarized_and_counted_again_as_it_was(
    runs: Path, says: Callable[..., str], name: str
) -> None:
    written = json.loads((runs / name / "summary.json").read_text())
    assert json.loads(says("summarize", "--log-dir", runs / name, "--json")) == written
    again = json.loads(says("summarize", "--log-dir", runs / name, "--recompute", "--json"))
    for key, value in written["metrics"].items():
        assert again["metrics"][key] == value
    assert (again["counts"], again["tokens"], again["cost_usd"]) == (
        written["counts"],
        written["tokens"],
        written["cost_usd"],
    )
    assert name in says("summarize", "--log-dir", runs / name)


@pytest.mark.parametrize("name", ["demo_run", "old_live"])
def test_a_complete_one_is_read_from_python(runs: Path, name: str) -> None:
    run = profiler.read_run(runs / name)
    assert run.complete
    assert len(list(run.outcomes())) == run.summary["counts"]["total"]


def test_a_complete_one_is_not_asked_again(
    runs: Path, says: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    said = says("run", "--config", runs / "m.yaml", "--mode", "live", "--output-dir", runs, "--json")
    assert json.loads(said)["experiments"][0]["answered_now"] == 0


def test_an_unfinished_one_is_refused_with_the_reason_and_the_way_out(runs: Path, says: Callable[..., str]) -> None:
    words = ("run", "--config", runs / "unfinished.yaml", "--mode", "mock", "--output-dir", runs)
    refused = says(*words, code=2)
    assert "an unfinished run of journal format 1" in refused
    assert "--fresh" in refused
    assert "Completed experiment" in says(*words, "--fresh")
    assert len(list(runs.glob("old_unfinished.old-*"))) == 1
