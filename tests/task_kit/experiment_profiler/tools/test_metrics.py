"""The tools count for themselves; these tests hold them to what the engine's own reduction says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import profiler
from profiler.manifest.settings import USUAL_METRICS
from profiler.metrics.builtin import BUILTIN
from tools.metrics import METRICS, TYPES, Tally, coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

# Letters whose lower case and whose folded case differ, or that become two, stand among the plain ones.
words = st.text(st.sampled_from("aAbB ßẞİıſςΣσﬁéÉ\u2028😀"), max_size=6)
facts = st.lists(words, max_size=4)


@st.composite
def dialogues(draw: st.DrawFn) -> tuple[str, str | None, list[str]]:
    """Type, completion and facts of one dialogue; most completions hold some of the facts, in some case."""
    required = draw(facts)
    held = [draw(st.sampled_from([fact, fact.upper(), fact.lower(), fact.swapcase()])) for fact in required]
    parts = draw(st.permutations([*held, *draw(facts)]))
    text = " ".join(parts[: draw(st.integers(0, len(parts)))])
    kind = draw(st.sampled_from(TYPES))
    return kind, None if kind == "error" else draw(st.one_of(st.just(text), st.none())), required


def tally(world: Sequence[tuple[str, str | None, list[str]]]) -> Tally:
    found = Tally()
    for kind, completion, required in world:
        found.add(type=kind, completion=completion, required_facts=required)
    return found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(dialogues(), max_size=12))
def test_they_agree_with_the_engine_on_any_world(world: list[tuple[str, str | None, list[str]]]) -> None:
    outcomes = [
        profiler.Outcome(f"d{number}", kind, completion, required_facts=tuple(required))  # type: ignore[arg-type]
        for number, (kind, completion, required) in enumerate(world)
    ]
    reduction = profiler.reduce_outcomes(outcomes, [BUILTIN[name] for name in METRICS])

    engine = {name: estimate.value for name, estimate in reduction.estimates().items()}
    ours = {name: tally(world).value(name) for name in METRICS}
    assert ours == {name: None if value is None else pytest.approx(value, abs=1e-9) for name, value in engine.items()}


def test_they_are_the_metrics_of_the_engine() -> None:
    assert METRICS == USUAL_METRICS


def test_without_dialogues_nothing_is_known() -> None:
    assert tally([]).metrics() == dict.fromkeys(METRICS)


def test_without_any_facts_there_is_no_coverage() -> None:
    assert tally([("answer", "a", []), ("error", None, [])]).metrics(["fact_coverage", "geometric_mean"]) == {
        "fact_coverage": None,
        "geometric_mean": None,
    }


def test_they_are_rounded_to_four_places() -> None:
    world: list[tuple[str, str | None, list[str]]] = [
        ("answer", "a", ["a"]),
        ("answer", "", ["a"]),
        ("refusal", "", []),
    ]

    assert tally(world).metrics(["fact_coverage", "geometric_mean"]) == {
        "fact_coverage": 0.6667,
        "geometric_mean": 0.6667,
    }


def test_the_names_asked_for_are_given_and_no_others() -> None:
    assert list(tally([("answer", "a", [])]).metrics(["geometric_mean", "fact_coverage"])) == [
        "geometric_mean",
        "fact_coverage",
    ]


def test_an_unknown_metric_or_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="found the metric 'speed', expected one of fact_coverage"):
        tally([]).metrics(["speed"])
    with pytest.raises(ValueError, match="found the type 'odd', expected one of answer"):
        tally([("odd", "", [])])


@pytest.mark.parametrize(
    ("completion", "required", "share"),
    [("The MOON", ["moon", "sun"], 0.5), ("", [], 1.0), ("", ["moon"], 0.0), ("STRASSE", ["straße"], 1.0)],
)
def test_a_fact_is_held_in_any_case(completion: str, required: list[str], share: float) -> None:
    assert coverage(completion, required) == share
