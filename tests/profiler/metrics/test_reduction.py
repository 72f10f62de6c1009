from __future__ import annotations

import asyncio
import math
import weakref
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.core import own_code
from profiler.core.nouns import Failure, Outcome
from profiler.metrics import metric, summary
from profiler.metrics import reduction as reduce
from profiler.metrics.builtin import BUILTIN
from profiler.metrics.metric import NO_DATA, Estimate, Metric
from profiler.metrics.reduction import Reduction, reduce_outcomes
from profiler.metrics.totals import TYPES, BadOutcome

ALL = tuple(BUILTIN.values())
optional_time = st.none() | st.floats(0, 1e6)
count = st.integers(0, 10**6)


@st.composite
def outcome_values(draw: st.DrawFn) -> Outcome:
    kind = draw(st.sampled_from(TYPES))
    return Outcome(
        dialogue_id=draw(st.text(max_size=3)),
        type=kind,
        completion=draw(st.none() | st.text("ab ", max_size=6)),
        replies=tuple(draw(st.lists(st.text("ab", max_size=3), max_size=2))),
        usage=draw(st.none() | st.fixed_dictionaries({}, optional={"input_tokens": count, "output_tokens": count})),
        latency_s=draw(optional_time),
        queue_s=draw(optional_time),
        attempts=draw(st.none() | st.integers(0, 5)),
        cost_usd=draw(st.none() | st.floats(0, 100)),
        error=Failure(type=draw(st.sampled_from("xyz")), message="")
        if kind == "error" and draw(st.booleans())
        else None,
        required_facts=tuple(draw(st.lists(st.text("ab", max_size=2), max_size=3))),
        tags=tuple(draw(st.lists(st.sampled_from("pqrs"), max_size=3))),
    )


outcome_lists = st.lists(outcome_values(), max_size=25)


def shown(reduction: Reduction) -> bytes:
    return orjson.dumps(summary.build(reduction, {}))


def merged(*shards: Reduction) -> Reduction:
    whole = Reduction(ALL)
    for shard in shards:
        whole.merge(shard)
    return whole


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "BATCH", 4)
    monkeypatch.setattr(reduce, "PENDING_LIMIT", 3)
    monkeypatch.setattr(reduce, "TAG_LIMIT", 2)
    monkeypatch.setattr(reduce, "ERROR_TYPE_LIMIT", 1)


shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


@pytest.mark.usefixtures("small")
@shared
@given(outcome_lists, st.randoms())
def test_the_order_of_outcomes_does_not_change_a_byte(outcomes: list[Outcome], source: Any) -> None:
    before = shown(reduce_outcomes(outcomes, ALL))
    source.shuffle(outcomes)
    assert shown(reduce_outcomes(outcomes, ALL)) == before


@pytest.mark.usefixtures("small")
@shared
@given(outcome_lists, outcome_lists, outcome_lists)
def test_shards_merge_to_the_bytes_of_one_pass(a: list[Outcome], b: list[Outcome], c: list[Outcome]) -> None:
    whole = shown(reduce_outcomes(a + b + c, ALL))
    one, two, three = (reduce_outcomes(part, ALL) for part in (a, b, c))
    assert shown(merged(one, two, three)) == whole
    assert shown(merged(three, one, two)) == whole
    assert shown(merged(merged(one, two), three)) == whole
    assert shown(merged(one, merged(two, three))) == whole


@given(outcome_lists)
def test_adding_one_by_one_is_the_same_as_all_at_once(outcomes: list[Outcome]) -> None:
    single = Reduction(ALL)
    for outcome in outcomes:
        single.add(outcome)
    assert shown(single) == shown(reduce_outcomes(outcomes, ALL))


@pytest.mark.usefixtures("small")
def test_what_waits_is_counted_when_it_is_read() -> None:
    single = Reduction(ALL)
    for _ in range(6):
        single.add(answer())
    assert (single.total, single.totals.sums["cost_unknown"]) == (6, 6)


def answer(**rest: Any) -> Outcome:
    return Outcome(dialogue_id="d", type="answer", completion="", **rest)


def test_other_metrics_do_not_merge() -> None:
    with pytest.raises(ValueError, match="same metrics"):
        Reduction(ALL).merge(Reduction(()))


class Vector(list[float]):
    """A state without a hash, of which can be seen how long it lives."""


def test_states_without_a_hash_are_not_kept_until_there_are_many() -> None:
    made: list[weakref.ref[Vector]] = []

    def contribute(_: Outcome) -> Vector:
        made.append(weakref.ref(state := Vector([1.0])))
        return state

    vector: Metric[Vector] = Metric(
        name="vector",
        contribute=contribute,
        merge=lambda a, b: Vector([a[0] + b[0]]),
        finish=lambda state: NO_DATA if state is None else Estimate(state[0], 1),
    )
    reduction = reduce_outcomes([answer() for _ in range(1000)], [vector])
    assert sum(each() is not None for each in made) == 0
    assert reduction.estimates()["vector"].value == 1000.0


def test_a_state_without_a_hash_is_merged_all_the_same() -> None:
    listed: Metric[list[str]] = Metric(
        name="listed",
        contribute=lambda outcome: None if outcome.tags else [outcome.dialogue_id],
        merge=lambda left, right: left + right,
        finish=lambda state: metric.Estimate(None if state is None else float(len(state)), 0),
    )
    found = reduce_outcomes([answer(), answer(tags=("t",)), answer()], [listed])
    assert found.estimates()["listed"].value == 2
    assert found.total == 3


def test_every_kind_and_error_type_is_counted() -> None:
    failed = [Outcome(dialogue_id="d", type="error", error=Failure(type=kind, message="")) for kind in ("b", "a", "b")]
    found = reduce_outcomes([answer(), *failed, Outcome(dialogue_id="d", type="error")], ALL)
    assert found.types == {"answer": 1, "refusal": 0, "truncated": 0, "error": 4}
    assert found.errors == {"a": 1, "b": 2, "unknown": 1}


def test_too_many_tags_and_error_types_are_counted_together() -> None:
    tagged = [answer(tags=(f"t{number:04d}",), required_facts=("x",)) for number in reversed(range(1003))]
    failed = [Outcome(dialogue_id="d", type="error", error=Failure(type=f"e{n:03d}", message="")) for n in range(105)]
    found = reduce_outcomes(tagged + failed, ALL)
    assert (len(found.by_tag()), max(found.by_tag())) == (1000, "t0999")
    beyond = found.beyond_tags()
    assert beyond is not None
    assert (beyond[0], beyond[1]["fact_coverage"].n) == (3, 3)
    assert found.errors["…"] == 5


def test_a_tag_named_twice_counts_once() -> None:
    assert reduce_outcomes([answer(tags=("a", "a"))], ALL).by_tag()["a"][0] == 1


def test_what_no_outcome_says_is_unknown_and_not_zero() -> None:
    totals = reduce_outcomes([answer(), answer()], ALL).totals
    assert totals.cost_usd is None
    assert totals.sums["cost_unknown"] == 2
    assert set(totals.tokens.values()) == {None}
    assert totals.known("attempts", given="attempts_known") is None


def test_sums_are_exact() -> None:
    usage = {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_read_input_tokens": None,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    totals = reduce_outcomes([answer(usage=usage, cost_usd=0.1, attempts=2)] * 3 + [answer(attempts=1)], ALL).totals
    assert totals.tokens == {"input": 9, "output": 15, "cache_creation_input": 0, "cache_read_input": 0, "thinking": 12}
    assert totals.cost_usd == 0.3
    assert (totals.sums["attempts"], totals.sums["retried"], totals.sums["cost_unknown"]) == (7, 3, 1)


def test_how_long_a_failure_took_is_no_latency() -> None:
    failed = Outcome(dialogue_id="d", type="error", latency_s=600.0)
    assert reduce_outcomes([failed, answer(latency_s=1.0)], ALL).totals.latency.quantile(1) == 1.0


BAD: list[dict[str, Any]] = [
    {"latency_s": -1.0},
    {"latency_s": math.nan},
    {"queue_s": math.inf},
    {"cost_usd": -0.1},
    {"cost_usd": math.nan},
    {"attempts": -1},
    {"usage": {"input_tokens": True}},
    {"usage": {"input_tokens": 1.5}},
    {"usage": {"output_tokens": "7"}},
    {"usage": {"output_tokens": -7}},
    {"usage": {"output_tokens": 10**400}},
    {"usage": {"output_tokens_details": [1]}},
    {"usage": {"output_tokens_details": {"thinking_tokens": []}}},
    {"type": "wrong"},
]


@pytest.mark.parametrize("wrong", BAD)
def test_a_number_that_cannot_be_is_named_with_its_place(wrong: dict[str, Any]) -> None:
    bad = Outcome(**({"dialogue_id": "bad", "type": "answer"} | wrong))
    with pytest.raises(BadOutcome, match="dialogue 'bad'") as caught:
        reduce_outcomes([answer()] * 300 + [bad, answer()], ALL)
    assert caught.value.position == 300


# --- metrics that raise


def failing(step: str) -> Metric[Any]:
    """Counts, until one of its steps raises."""

    def contribute(outcome: Outcome) -> int:
        return 1 // (step != "contribute" or outcome.completion != "bad")

    def merge(left: int, right: int) -> int:
        return (left + right) // (step != "merge")

    def finish(state: int | None) -> Estimate:
        return "five" if step == "finish" else Estimate(float(state or 0) // (step != "divide"), 1)  # type: ignore[return-value]

    return Metric(name="own", contribute=contribute, merge=merge, finish=finish)


@pytest.mark.parametrize("place", [0, len(ALL)])
@pytest.mark.parametrize("step", ["contribute", "merge", "finish", "divide"])
def test_a_metric_that_raises_has_no_value_and_the_others_do(step: str, place: int) -> None:
    outcomes = [Outcome(dialogue_id=f"d{n}", type="answer", completion="bad" if n == 300 else "") for n in range(600)]
    found = reduce_outcomes(outcomes, [*ALL[:place], failing(step), *ALL[place:]])
    assert {name: value for name, value in found.estimates().items() if name != "own"} == (
        reduce_outcomes(outcomes, ALL).estimates()
    )
    assert found.estimates()["own"] == NO_DATA
    (fault,) = found.faults
    reason = {"finish": "TypeError: finish returned 'five', expected an Estimate"}.get(step, "ZeroDivisionError: ")
    assert reason in fault.reason
    assert fault.dialogue_id == ("d300" if step == "contribute" else None)
    if step != "finish":
        assert "(test_reduction.py:" in fault.reason
        assert str(fault).count("File ") == 1  # their part of the traceback, and none of ours
    assert summary.build(found, {})["metrics"]["own"] == {"value": None, "n": 0, "ci95": None, "error": fault.reason}


@pytest.mark.parametrize("step", ["contribute", "merge", "finish"])
@pytest.mark.parametrize("raised", [SystemExit(4), asyncio.CancelledError(), GeneratorExit()])
def test_not_even_what_would_end_the_program_leaves_a_metric(step: str, raised: BaseException) -> None:
    def fail(*_: object) -> Any:
        raise raised

    metric = msgspec.structs.replace(failing("nowhere"), **{step: fail})
    found = reduce_outcomes([answer(), answer()], [metric])
    assert found.estimates()["own"] == NO_DATA
    assert [fault.said.partition(" (")[0] for fault in found.faults] == [own_code.said(raised).partition(" (")[0]]


def test_ctrl_c_in_a_metric_is_no_fault_of_it() -> None:
    def pressed(_: Outcome) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce_outcomes([answer()], [msgspec.structs.replace(failing("nowhere"), contribute=pressed)])


def test_a_fault_in_one_shard_is_a_fault_of_the_whole() -> None:
    metric = failing("contribute")
    whole, shard = reduce_outcomes([answer()], [metric]), Reduction([metric])
    shard.add(Outcome(dialogue_id="x", type="answer", completion="bad"))
    whole.merge(shard)
    assert whole.estimates()["own"] == NO_DATA
    assert [fault.dialogue_id for fault in whole.faults] == ["x"]
