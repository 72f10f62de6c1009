from __future__ import annotations

from itertools import product
from typing import Any

from profiler.core.nouns import Outcome
from profiler.metrics.builtin import BUILTIN
from profiler.metrics.metric import NO_DATA, Metric
from profiler.metrics.metric_calls import MetricCalls
from profiler.metrics.totals import TYPES

COVERAGE, GEOMETRIC = BUILTIN["fact_coverage"], BUILTIN["geometric_mean"]
OF_ALL_KINDS = [
    Outcome(dialogue_id="d", type=kind, completion=completion, replies=replies, required_facts=facts)
    for kind, completion, replies, facts in product(
        TYPES, [None, "", "One and two"], [(), ("one", "TWO")], [(), ("two",), ("ONE", "three")]
    )
]


def test_a_metric_that_builds_on_another_contributes_the_same_without_it() -> None:
    assert MetricCalls([COVERAGE, GEOMETRIC]).contributions(OF_ALL_KINDS)[1] == alone()
    assert MetricCalls([GEOMETRIC, COVERAGE]).contributions(OF_ALL_KINDS)[0] == alone()


def test_it_looks_at_no_answer_again() -> None:
    seen: list[Outcome] = []

    def looked(outcome: Outcome) -> tuple[int]:
        seen.append(outcome)
        return (1,)

    base = own("base", looked)
    built = own("built", lambda _: (9,), builds_on=base, build=lambda _, state: (state[0] + 1,))
    assert MetricCalls([base, built]).contributions(OF_ALL_KINDS) == [[(1,)] * len(seen), [(2,)] * len(seen)]
    assert seen == OF_ALL_KINDS


def test_it_does_not_build_on_a_metric_of_the_users_that_has_the_same_name() -> None:
    assert MetricCalls([own("fact_coverage", lambda _: (7,)), GEOMETRIC]).contributions(OF_ALL_KINDS)[1] == alone()


def test_it_looks_for_itself_where_the_other_one_has_raised() -> None:
    wrong = Outcome(dialogue_id="wrong", type="answer", completion=7, required_facts=("one",))  # type: ignore[arg-type]
    calls = MetricCalls([COVERAGE, GEOMETRIC])
    calls.contributions([*OF_ALL_KINDS, wrong])
    assert list(calls.faults) == ["fact_coverage", "geometric_mean"]


def alone() -> list[Any]:
    (column,) = MetricCalls([GEOMETRIC]).contributions(OF_ALL_KINDS)
    return column


def own(name: str, contribute: Any, **more: Any) -> Metric[Any]:
    return Metric(name=name, contribute=contribute, merge=lambda a, _: a, finish=lambda _: NO_DATA, **more)
