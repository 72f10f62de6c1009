"""A flag that a command cannot use is an error; one that changes nothing here is one warning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from profiler.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "experiment_id: e\nmodel: claude-haiku-4-5\nmax_tokens: 9\ndataset_path: d.jsonl\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (tmp_path / "m.yaml").write_text(MANIFEST)
    (tmp_path / "d.jsonl").write_text(json.dumps({"dialogue_id": "a", "user": "q"}) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--assume-latency", "2"), "--assume-latency needs --dry-run"),
        (("--retry-failed", "--fresh"), "--retry-failed and --fresh contradict each other"),
        (("--dry-run", "--fail-on-errors", "0.1"), "--fail-on-errors has no effect with --dry-run"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused_before_anything_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert main(["run", "--config", "m.yaml", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_a_metric_without_counting_anew_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "m.yaml", "--quiet"]) == 0
    assert main(["summarize", "--log-dir", "runs/e", "--metric", "refusal_rate"]) == 2
    assert "--recompute" in capsys.readouterr().err


def test_flags_without_effect_are_one_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "m.yaml", "--client", "sdk", "--max-cost", "1"]) == 0
    err = capsys.readouterr().err
    assert err.count("no effect") == 1
    assert "--client and --max-cost have no effect in mock mode" in err


def test_flags_that_do_something_are_no_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "m.yaml", "--limit", "1"]) == 0
    assert main(["run", "--config", "m.yaml", "--dry-run", "--assume-latency", "2", "--max-cost", "1"]) == 0
    assert "no effect" not in capsys.readouterr().err
