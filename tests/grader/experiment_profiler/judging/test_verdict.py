"""A result is an error until something better is known, and rewards follow from findings alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grader.experiment_profiler.judging.reasons import CHECKS, NOT_REACHED, REASONS, first
from grader.experiment_profiler.judging.sheet import Sheet
from grader.experiment_profiler.judging.verdict import Finding, Result, Status, checks_of, reasons_of


def finding(check: str, reason: str | None = None, where: str = "here") -> Finding:
    return Finding(check=check, where=where, reason=reason)


def test_a_result_that_nobody_finished_is_an_error_without_a_reward() -> None:
    result = Result(task="any")

    assert (result.status, result.exit_code, result.reward, result.reward_valid) == (Status.ERROR, 2, 0.0, False)


@pytest.mark.parametrize(("status", "code"), [(Status.PASS, 0), (Status.FAIL, 1), (Status.ERROR, 2)])
def test_exit_codes(status: Status, code: int) -> None:
    assert status.exit_code == code


def test_a_result_is_plain_json() -> None:
    values = Result(task="any", checks=checks_of([finding("order", "order")])).as_dict()

    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_timings_can_be_left_out() -> None:
    result = Result(task="any", timings={"seconds": 1})

    assert result.as_dict().keys() - result.as_dict(timings=False).keys() == {"timings"}


def test_a_check_holds_only_where_all_its_findings_do() -> None:
    found = [finding("order", where="a"), finding("order", "order", where="b"), finding("files", where="a")]

    by_name = {check.name: check for check in checks_of(found)}
    assert (by_name["order"].passed, by_name["order"].made, by_name["order"].failed) == (False, 2, 1)
    assert by_name["order"].detail == f"b: {REASONS['order'].sentence}"
    assert by_name["files"].passed


def test_causes_stand_before_their_effects() -> None:
    found = [finding("metrics", "metric_mismatch"), finding("metrics", NOT_REACHED), finding("limits", "timeout")]

    assert reasons_of(found) == ("timeout", "metric_mismatch")
    assert first({"metric_mismatch", "timeout"}) == "timeout"


def test_every_reason_belongs_to_a_check() -> None:
    assert {reason.check for reason in REASONS.values()} == {*CHECKS, "*"}


def test_a_sheet_says_what_it_did_not_reach() -> None:
    sheet = Sheet("here", ("files", "order", "metrics"))
    sheet.made("files", "order")
    sheet.fail("order", "first")
    sheet.fail("order", "second")

    assert [(found.check, found.reason, found.said) for found in sheet.findings()] == [
        ("files", None, ""),
        ("order", "order", "first"),
        ("metrics", NOT_REACHED, ""),
    ]


def test_a_reason_of_a_check_that_is_not_planned_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not planned"):
        Sheet("here", ("files",)).fail("order")


@pytest.mark.parametrize("text", ["docs/grading.md", "task_kit/experiment_profiler/prompt.md"])
def test_every_code_is_told_to_those_it_concerns(text: str) -> None:
    written = (Path(__file__).resolve().parents[4] / text).read_text(encoding="utf-8")

    assert [code for code in REASONS if f"`{code}`" not in written] == []
