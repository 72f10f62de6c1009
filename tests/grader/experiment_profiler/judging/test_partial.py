"""Partial rewards pay for what works, and for nothing else."""

from __future__ import annotations

import pytest

from grader.experiment_profiler.judging import partial
from grader.experiment_profiler.judging.reasons import NOT_REACHED, REASONS
from grader.experiment_profiler.judging.verdict import Finding

LOGS = ("files", "dialogues", "order", "requests", "responses", "metrics")


def place(where: str, *checks: str, failed: str = "") -> list[Finding]:
    """Everything holds but the checks whose codes are named."""
    codes = failed.split()
    reasons = {REASONS[code].check: code for code in codes}
    return [Finding(check=check, where=where, reason=reasons.get(check)) for check in checks]


def test_staying_within_limits_alone_earns_nothing() -> None:
    assert partial.reward(place("world-1 run", "limits", "interface")) == 0.0


@pytest.mark.parametrize("code", [code for code, reason in REASONS.items() if reason.check == "limits"])
def test_a_failure_of_limits_takes_everything(code: str) -> None:
    right = place("world-1 run", *LOGS)

    assert partial.reward(right) > 0
    assert partial.reward([*right, Finding(check="limits", where="world-2 run", reason=code)]) == 0.0


def test_who_fails_never_earns_all() -> None:
    everything = [*place("world-1 api", "client", "summarize"), *place("world-1 run", *LOGS)]

    assert partial.reward(everything) == partial.MOST < 1


def test_metrics_of_wrong_logs_earn_nothing() -> None:
    right, forged = (place("world-1 run", *LOGS, failed=code) for code in ("", "completion_mismatch"))
    without = place("world-1 run", *LOGS[:-1], failed="completion_mismatch")

    assert partial.reward(forged) == partial.reward(without) < partial.reward(right)


def test_a_summary_that_is_not_true_earns_less_than_none() -> None:
    made_up = place("world-1 run", *LOGS, failed="metric_mismatch")
    without = place("world-1 run", *LOGS, failed="missing_artifact metric_mismatch")

    assert partial.reward(made_up) == 0.0 < partial.reward(without)


def test_logs_without_a_dialogue_earn_nothing() -> None:
    assert partial.reward(place("world-1 run", *LOGS, failed="missing_dialogue")) == 0.0


def test_what_was_not_reached_earns_nothing() -> None:
    unreached = [Finding(check=check, where="world-1 run", reason=NOT_REACHED) for check in LOGS]

    assert partial.reward(unreached) == 0.0


def test_nothing_at_all_is_right_only_for_who_is_right_elsewhere() -> None:
    nothing = place("empty run", *LOGS)
    wrong, right = (place("world-1 run", *LOGS, failed=code) for code in ("missing_dialogue", ""))

    assert partial.reward([*nothing, *wrong]) == 0.0
    assert partial.reward([*nothing, *right]) == partial.reward(right)


def test_each_place_counts() -> None:
    one, all_ = ([*place("world-1 run", *LOGS), *place("world-2 run", *LOGS, failed=code)] for code in ("order", ""))

    assert partial.reward(one) == pytest.approx(partial.reward(all_) / 2)
