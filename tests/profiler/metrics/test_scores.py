from __future__ import annotations

import math
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.nouns import Failure, Outcome
from profiler.metrics import metric as metrics
from profiler.metrics.builtin import BUILTIN
from profiler.metrics.metric import Metric, Score
from profiler.metrics.reduction import reduce_outcomes
from profiler.metrics.scores import Scorer

FACTS = st.lists(st.sampled_from(["Paris", "ROME", "x", "not there"]), max_size=4).map(tuple)


def outcome(kind: str = "answer", completion: str | None = "Paris, rome and x", **rest: object) -> Outcome:
    completion = None if kind == "error" else completion
    return Outcome(dialogue_id="d", type=kind, completion=completion, **rest)  # type: ignore[arg-type]


def score(name: str, seen: Outcome) -> Score:
    return BUILTIN[name].score(seen)  # type: ignore[misc]


def test_coverage_is_the_share_of_the_facts_that_one_reply_holds() -> None:
    assert score("fact_coverage", outcome(required_facts=("paris", "Rome", "Madrid", "y"))) == 0.5
    assert score("fact_coverage", outcome()) == 1.0
    assert score("fact_coverage", outcome("error", required_facts=("paris",))) is None
    assert score("fact_coverage", outcome(completion=None, required_facts=("paris",))) is None


@pytest.mark.parametrize(
    ("kind", "expected", "scores"),
    [
        ("answer", None, (False, True, None)),
        ("truncated", False, (False, True, True)),
        ("refusal", False, (True, True, False)),
        ("refusal", True, (True, True, True)),
        ("answer", True, (False, True, False)),
        ("error", True, (None, False, None)),
    ],
)
def test_what_is_true_or_false_of_one_reply(kind: str, expected: bool | None, scores: tuple[bool | None, ...]) -> None:
    seen = outcome(kind, expect_refusal=expected)
    assert tuple(score(name, seen) for name in ("refusal_rate", "completion_rate", "refusal_as_expected")) == scores


@given(
    st.lists(
        st.builds(
            outcome,
            st.sampled_from(["answer", "refusal", "truncated", "error"]),
            required_facts=FACTS,
            expect_refusal=st.sampled_from([None, True, False]),
        ),
        min_size=1,
    )
)
def test_a_metric_is_the_mean_of_its_scores(outcomes: list[Outcome]) -> None:
    found = reduce_outcomes(outcomes, list(BUILTIN.values())).estimates()
    for name, metric in BUILTIN.items():
        if metric.score is None or (name == "fact_coverage" and not any(each.required_facts for each in outcomes)):
            continue
        scores = [value for each in outcomes if (value := metric.score(each)) is not None]
        assert found[name].n == len(scores)
        if scores:
            assert found[name].value == pytest.approx(float(sum(map(Fraction, scores)) / len(scores)), abs=1e-12)


def test_which_way_is_better_is_said_where_there_is_one() -> None:
    better = {name: metric.better for name, metric in BUILTIN.items()}
    assert better["refusal_rate"] is None
    assert {name for name, way in better.items() if way == "higher"} == BUILTIN.keys() - {"refusal_rate"}
    with pytest.raises(ValueError, match="expected 'higher', 'lower' or None"):
        metrics.rate("r", lambda _: True, better="more")  # type: ignore[arg-type]


def test_own_metrics_have_a_score_by_how_they_are_made() -> None:
    own = [
        metrics.rate("long", lambda seen: len(seen.completion or "") > 3 or None),
        metrics.mean("length", lambda seen: len(seen.completion or ""), better="lower"),
        metrics.total("letters", lambda seen: len(seen.completion or "") / 2),
    ]
    assert Scorer(own).columns([outcome(completion="abcd"), outcome(completion="a")]) == [
        [True, None],
        [4, 1],
        [2.0, 0.5],
    ]


def _by_hand(scored: object) -> Metric[int]:
    return Metric(
        name="own",
        contribute=lambda _: 1,
        merge=lambda left, right: left + right,
        finish=lambda state: metrics.Estimate(state, state or 0),
        score=scored,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("bad", [math.nan, -math.inf, "high", [1]])
def test_what_no_file_can_hold_is_no_score_and_is_told_with_its_dialogue(bad: object) -> None:
    scorer = Scorer([_by_hand(lambda seen: bad if seen.type == "refusal" else 0.25), BUILTIN["refusal_rate"]])
    assert scorer.columns([outcome(), outcome("refusal"), outcome()]) == [[0.25, None, 0.25], [False, True, False]]
    assert scorer.faults["own"].startswith("metric 'own' gave no score at dialogue 'd': ")


def test_one_that_raises_costs_only_its_own_score() -> None:
    scorer = Scorer([_by_hand(lambda seen: 1 // len(seen.completion or ""))])
    assert scorer.columns([outcome(completion="a"), outcome("error", error=Failure(type="t", message="m"))]) == [
        [1, None]
    ]
    assert "ZeroDivisionError" in scorer.faults["own"]


def test_not_even_what_would_end_the_program_leaves_a_score() -> None:
    def leave(_: Outcome) -> float:
        sys.exit(4)

    scorer = Scorer([_by_hand(leave)])
    assert scorer.columns([outcome()]) == [[None]]
    assert "SystemExit: 4" in scorer.faults["own"]


def test_numbers_of_other_libraries_become_plain_ones() -> None:
    (column,) = Scorer([_by_hand(lambda _: Fraction(1, 4))]).columns([outcome()])
    assert [(type(value), value) for value in column] == [(float, 0.25)]
