"""Runs in which every dialogue was asked three times, really run, as compare, show, export and report see them."""

from __future__ import annotations

import csv
import json
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from profiler.cli.main import main
from profiler.engine.options import Options
from profiler.engine.runner import run_sync
from profiler.manifest.settings import Experiment, MockSettings
from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.results.report.written import blocks

if TYPE_CHECKING:
    from pathlib import Path

COUNT, REPEATS = 40, 3


def answered(folder: Path, name: str, **settings: Any) -> SavedRun:
    path = folder / "d.jsonl"
    facts = ["Paris", "Rome", "Oslo"]
    rows = [{"dialogue_id": f"d{n}", "user": f"question {n}", "required_facts": facts} for n in range(COUNT)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 64, "repeats": REPEATS}
    asked = Experiment(**{"experiment_id": name, "dataset_path": path, **usual, **settings})
    return SavedRun(run_sync(asked, options=Options(output_dir=folder / "runs", mode="mock")).folder)


def coverage_by_dialogue(run: SavedRun) -> list[float]:
    found: dict[str, list[float]] = {}
    for line in run.scores():
        found.setdefault(line["dialogue_id"], []).append(line["scores"]["fact_coverage"])
    return [mean(each) for each in found.values()]


@pytest.mark.parametrize("other", [{"repeats": REPEATS}, {"repeats": 1}, {"repeats": 5}])
@pytest.mark.parametrize("fields", [None, ("dialogue_id", "type", "completion")])
def test_compare_pairs_by_dialogue_with_its_answers_averaged(
    tmp_path: Path, other: dict[str, Any], fields: tuple[str, ...] | None
) -> None:
    base = answered(tmp_path, "base", output_fields=fields)
    new = answered(tmp_path, "new", mock=MockSettings(seed=9), output_fields=fields, **other)

    report = compare(base, [new], Question())

    (found,) = [each for each in report.against[0].comparisons if each.metric == "fact_coverage"]
    before, after = coverage_by_dialogue(base), coverage_by_dialogue(new)
    assert report.against[0].pairing.paired == found.n == COUNT
    assert [found.base, found.new] == pytest.approx([mean(before), mean(after)])
    if found.method == "paired t":
        assert found.p == pytest.approx(stats.ttest_rel(after, before).pvalue, rel=1e-9)


@pytest.mark.parametrize("fields", [None, ("dialogue_id", "type", "completion")])
def test_show_export_and_report_say_which_repeat_an_answer_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: tuple[str, ...] | None
) -> None:
    run = answered(tmp_path, "run", output_fields=fields)
    table, page = tmp_path / "t.csv", tmp_path / "r.html"

    assert main(["show", str(run.folder), "--no-pager", "--where", "repeat == 2", "--limit", "1"]) == 0
    assert "d0 (number" in (shown := capsys.readouterr().out)
    assert "repeat 2)" in shown
    assert main(["export", str(run.folder), "--to", "csv", "-o", str(table)]) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["repeat"] for row in rows] == [str(n % REPEATS) for n in range(COUNT * REPEATS)]
    assert main(["report", str(run.folder), "-o", str(page)]) == 0
    assert blocks(page)["columns"]["repeats"] == [n % REPEATS for n in range(COUNT * REPEATS)]
