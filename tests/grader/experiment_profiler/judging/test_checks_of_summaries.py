"""What the checks find in the summary that `summarize` wrote of given logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from grader.experiment_profiler.boxes.box import Kind
from tests.grader.building import Run
from tests.grader.experiment_profiler.judging.test_checks import judged

if TYPE_CHECKING:
    from pathlib import Path


def test_a_summary_that_was_there_before_does_not_count(tmp_path: Path) -> None:
    run = Run(tmp_path, kind=Kind.SUMMARIZE)
    run.write()
    (run.given / "summary.json").write_bytes(run.logs.files()["summary.json"])

    assert run.judged() == {"summarize_mismatch"}


def test_summarize_may_leave_out_what_it_was_not_asked_for(tmp_path: Path) -> None:
    assert judged(tmp_path, lambda run: run.given_summary.pop("completion_rate"), kind=Kind.SUMMARIZE) == set()


@pytest.mark.parametrize("name", ["fact_coverage", "refusal_rate", "geometric_mean"])
def test_summarize_must_give_the_three(tmp_path: Path, name: str) -> None:
    assert judged(tmp_path, lambda run: run.given_summary.pop(name), kind=Kind.SUMMARIZE) == {"summarize_mismatch"}


def test_everything_a_right_run_wrote_is_json(tmp_path: Path) -> None:
    """The builder itself: what the tests spoil is what the checks read."""
    run = Run(tmp_path)
    run.write()

    assert json.loads((run.folder / "summary.json").read_bytes()) == run.summary


@pytest.mark.parametrize(("name", "value"), [("experiment_id", "another"), ("dialogues", 1), ("dialogues", 3.0)])
def test_the_summary_of_given_logs_says_whose_it_is(tmp_path: Path, name: str, value: Any) -> None:
    assert judged(tmp_path, lambda run: run.given_summary.update({name: value}), kind=Kind.SUMMARIZE) == {
        "summarize_mismatch"
    }


@pytest.mark.parametrize("log", ["requests.jsonl", "responses.jsonl"])
@pytest.mark.parametrize("kind", [Kind.API, Kind.SUMMARIZE])
def test_logs_that_were_to_be_read_may_not_change(tmp_path: Path, kind: Kind, log: str) -> None:
    run = Run(tmp_path, kind=kind)
    run.write()
    with (run.given / log).open("ab") as file:
        file.write(b"\n")

    assert run.judged() == {"summarize_mismatch"}


@pytest.mark.parametrize("found", [0, 0.0, "null", False])
def test_a_metric_of_nothing_is_null_and_nothing_else(tmp_path: Path, found: Any) -> None:
    run = Run(tmp_path, name="empty run")
    run.summary["refusal_rate"] = found

    assert run.judged() == {"metric_mismatch"}


@pytest.mark.parametrize("edge", ["empty", "unanswered", "no-facts"])
def test_a_right_run_in_which_something_is_missing_is_found_right(tmp_path: Path, edge: str) -> None:
    assert Run(tmp_path, name=f"{edge} run").judged() == set()


@pytest.mark.parametrize("kind", ["long", "unanswered", "no-facts", "empty"])
def test_a_right_summary_of_any_logs_is_found_right(tmp_path: Path, kind: str) -> None:
    assert Run(tmp_path, name=f"{kind} summarize").judged() == set()
