"""pass@k and pass^k, against all choices of k answers counted one by one."""

from __future__ import annotations

import random
from itertools import combinations
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.nouns import Outcome
from profiler.metrics.builtin import resolve
from profiler.metrics.metric import mean as mean_of
from profiler.metrics.metric import rate
from profiler.metrics.pass_at import pass_at
from profiler.metrics.reduction import reduce_outcomes
from tests.profiler.metrics.repeated import outcomes

if TYPE_CHECKING:
    from profiler.metrics.metric import Estimate, Metric

RIGHT = rate("right", lambda outcome: None if outcome.completion == "?" else outcome.completion == "yes")


def parts_of(metric: Metric[Any], k: int, dialogues: list[list[str]]) -> dict[str, Estimate] | None:
    found = reduce_outcomes(outcomes(dialogues), [metric, pass_at(metric, [k])])
    assert not found.faults
    return found.estimates()[metric.name].parts


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_they_are_the_shares_among_all_choices_of_k_answers(k: int) -> None:
    draw = random.Random(k)
    dialogues = [[draw.choice(["yes", "no", "?"]) for _ in range(6)] for _ in range(40)]

    parts = parts_of(RIGHT, k, dialogues)

    scored = [[said == "yes" for said in each if said != "?"] for each in dialogues]
    choices = [list(combinations(each, k)) for each in scored if len(each) >= k]
    assert parts is not None
    at, all_of = parts[f"pass@{k}"], parts[f"pass^{k}"]
    assert at.value == pytest.approx(mean(mean(any(chosen) for chosen in each) for each in choices), abs=1e-12)
    assert all_of.value == pytest.approx(mean(mean(all(chosen) for chosen in each) for each in choices), abs=1e-12)
    assert (at.n, at.left_out) == (all_of.n, all_of.left_out) == (len(choices), 40 - len(choices))
    assert at.ci95 is not None
    assert at.ci95[0] < (at.value or 0) <= at.ci95[1]


def test_they_stand_among_the_parts_of_every_metric_with_true_false_scores() -> None:
    metrics = resolve(["refusal_rate", "fact_coverage", "geometric_mean"], pass_at=[1, 2])
    answers = [
        Outcome(dialogue_id=f"d{n}", type="refusal" if n == 0 else "answer", repeat=repeat, required_facts=("a",))
        for n in range(2)
        for repeat in range(2)
    ]

    found = reduce_outcomes(answers, metrics).estimates()

    assert list(found) == ["refusal_rate", "fact_coverage", "geometric_mean"]
    parts = found["refusal_rate"].parts or {}
    assert {name: part.value for name, part in parts.items()} == dict.fromkeys(
        ["pass@1", "pass^1", "pass@2", "pass^2"], 0.5
    )
    assert found["fact_coverage"].parts is None


def test_a_dialogue_with_too_few_scores_is_left_out_and_counted() -> None:
    parts = parts_of(RIGHT, 3, [["yes", "?", "no"], ["?", "?", "?"]])
    assert parts is not None
    assert (parts["pass@3"].value, parts["pass@3"].n, parts["pass@3"].left_out) == (None, 0, 2)


def test_numbers_pass_nothing() -> None:
    assert parts_of(mean_of("number", lambda _: 1.0), 1, [["yes"], ["no"]]) is None
