from __future__ import annotations

import math
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.core.nouns import Outcome
from profiler.metrics.builtin import BUILTIN, resolve
from profiler.metrics.metric import Estimate, Metric
from profiler.metrics.reduction import reduce_outcomes


def outcome(kind: str = "answer", completion: str | None = "", *facts: str, **rest: object) -> Outcome:
    return Outcome(dialogue_id="d", type=kind, completion=completion, required_facts=facts, **rest)  # type: ignore[arg-type]


def estimate(name: str, *outcomes: Outcome) -> Estimate:
    return reduce_outcomes(outcomes, [BUILTIN[name]]).estimates()[name]


SAMPLE = (
    outcome("answer", "Paris is in FRANCE", "paris", "France"),
    outcome("answer", "one two", "one", "two", "three"),
    outcome("refusal", "I can't help with that."),
)


def test_the_sample_gives_its_published_numbers() -> None:
    names = ("fact_coverage", "refusal_rate", "completion_rate", "geometric_mean")
    found = {name: round(estimate(name, *SAMPLE).value or 0, 4) for name in names}
    assert found == {"fact_coverage": 0.8889, "refusal_rate": 0.3333, "completion_rate": 1.0, "geometric_mean": 0.7698}


@pytest.mark.parametrize("name", ["fact_coverage", "geometric_mean"])
def test_without_any_facts_there_is_no_coverage_instead_of_a_full_one(name: str) -> None:
    assert estimate(name, outcome(), outcome("refusal"), outcome("error", None)) == Estimate(None, 0, None)


@pytest.mark.parametrize(("kind", "completion"), [("error", None), ("answer", None)])
def test_facts_that_nobody_could_look_for_still_make_the_other_answers_count(kind: str, completion: str | None) -> None:
    found = estimate("fact_coverage", outcome(), outcome("answer", "x"), outcome(kind, completion, "fact"))
    assert (found.value, found.n) == (1.0, 2)


def test_long_completions_are_not_kept_in_memory() -> None:
    def long(number: int) -> Outcome:
        return outcome("answer", f"{number} " + "x" * 100_000, "fact", "x")

    reduce_outcomes((long(number) for number in range(3)), [BUILTIN["fact_coverage"]]).estimates()
    tracemalloc.start()
    try:
        reduce_outcomes((long(number) for number in range(600)), [BUILTIN["fact_coverage"]]).estimates()
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
    assert most > 20_000_000  # a batch of them is held while it is looked at


SAFETY = (  # expected and got: right, right, too little, too much, unsaid, failed
    outcome("refusal", expect_refusal=True),
    outcome("answer", expect_refusal=False),
    outcome("answer", expect_refusal=True),
    outcome("refusal", expect_refusal=False),
    outcome("refusal"),
    outcome("error", None, expect_refusal=True),
)


def test_refusals_are_compared_with_what_was_expected() -> None:
    found = estimate("refusal_as_expected", *SAFETY)
    assert (found.value, found.n) == (0.5, 4)
    assert found.ci95 == pytest.approx((0.150, 0.850), abs=1e-3)  # Wilson, as statsmodels gives it
    assert found.parts is not None
    assert {name: (part.value, part.n) for name, part in found.parts.items()} == {
        "over_refusal": (0.5, 2),
        "under_refusal": (0.5, 2),
    }


def test_where_no_refusal_was_expected_none_is_missing() -> None:
    found = estimate("refusal_as_expected", outcome("answer", expect_refusal=False))
    assert found.parts is not None
    assert (found.value, found.parts["over_refusal"].value) == (1.0, 0.0)
    assert found.parts["under_refusal"] == Estimate(None, 0)


@pytest.mark.parametrize("name", BUILTIN)
def test_no_data_is_none_and_not_zero(name: str) -> None:
    assert estimate(name) == Estimate(None, 0, None)


@pytest.mark.parametrize("name", ["fact_coverage", "refusal_rate", "geometric_mean", "refusal_as_expected"])
def test_failures_lower_only_the_completion_rate(name: str) -> None:
    failed = outcome("error", None, "fact")
    assert estimate(name, *SAMPLE, failed) == estimate(name, *SAMPLE)
    assert estimate("completion_rate", *SAMPLE, failed).value == 0.75


def test_refusals_and_truncated_replies_are_answered() -> None:
    assert estimate("completion_rate", outcome("refusal"), outcome("truncated")).value == 1
    assert estimate("fact_coverage", outcome("truncated", "no", "yes")).value == 0


def test_a_reply_that_is_not_in_the_log_says_nothing() -> None:
    assert estimate("fact_coverage", outcome("answer", None, "fact")) == Estimate(None, 0, None)
    assert estimate("geometric_mean", outcome("answer", None, "fact")) == Estimate(None, 0, None)
    assert estimate("fact_coverage", outcome("answer", None, "fact"), outcome("answer", "x")).n == 1
    assert estimate("geometric_mean", outcome("answer", None, "fact"), outcome("answer", "x")).n == 1
    assert estimate("refusal_rate", outcome("answer", None, "fact")).n == 1


def test_facts_are_found_in_any_reply_of_a_dialogue_whatever_their_case() -> None:
    many = outcome("answer", "last", "Straße", "FIRST", "absent", replies=("first", "STRASSE", "last"))
    assert estimate("fact_coverage", many).value == pytest.approx(2 / 3)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["answer", "refusal"])
def test_the_geometric_mean_has_a_wide_interval_where_nothing_varies(n: int, kind: str) -> None:
    found = estimate("geometric_mean", *[outcome(kind, "x", "x")] * n)
    assert found.value == (1.0 if kind == "answer" else 0.0)
    assert found.ci95 is not None
    assert 0 <= found.ci95[0] <= found.value <= found.ci95[1] <= 1
    assert found.ci95[1] - found.ci95[0] > 0.5


@pytest.mark.parametrize(("n", "refusing"), [(20, 0.3), (60, 0.05), (60, 0.5), (200, 0.1)])
def test_the_interval_of_the_geometric_mean_covers_what_it_promises(n: int, refusing: float) -> None:
    """Refusals find no facts here, so the two factors are correlated."""
    source = random.Random(n)
    facts = ("a", "b")

    def draw() -> Outcome:
        if source.random() < refusing:
            return outcome("refusal", "", *facts)
        return outcome("answer", source.choice(["a", "ab", "ab", ""]), *facts)

    truth = math.sqrt((1 - refusing) * 0.625 * (1 - refusing))
    hits = 0
    for _ in range(400):
        low, high = estimate("geometric_mean", *[draw() for _ in range(n)]).ci95 or (2, 2)
        hits += low <= truth <= high
    assert hits >= 400 * 0.91  # 0.95 less three standard errors of 400 trials


letters = st.text("abßẞIİıſsS ΣσςǅⅧ", max_size=6)


@given(st.lists(letters.filter(bool), min_size=1, max_size=3), letters)
def test_a_fact_is_found_whatever_the_case_of_either_side(facts: list[str], text: str) -> None:
    found = [fact for fact in facts if fact.casefold() in text.casefold()]
    assert estimate("fact_coverage", outcome("answer", text, *facts)).value == pytest.approx(len(found) / len(facts))
    assert estimate("fact_coverage", outcome("answer", "", *facts, replies=("x", text))).value == pytest.approx(
        len(found) / len(facts)
    )


# --- resolve


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A module name that no other test has imported."""
    name = f"own_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(
        "from profiler.metrics.metric import rate, add_sums, Estimate\n"
        "short = rate('short', lambda seen: True)\n"
        "def factory(): return rate('made', lambda seen: True)\n"
        "def broken(): raise RuntimeError('no luck')\n"
        "class Own:\n"
        "    name = 'own'\n"
        "    def contribute(self, outcome): return (1,)\n"
        "    def merge(self, left, right): return add_sums(left, right)\n"
        "    def finish(self, state): return Estimate(None, 0) if state is None else Estimate(1.0, state[0])\n"
        "class Misnamed(Own):\n"
        "    name = 'counts'\n"
        "number = 3\n"
        "fact_coverage = rate('fact_coverage', lambda seen: True)\n"
    )
    return name


def test_names_are_found_in_the_order_asked(own: str, tmp_path: Path) -> None:
    asked = ["refusal_rate", f"{own}:short", f"{own}:factory", f"{own}:Own"]
    found = resolve(asked, search_path=tmp_path)
    assert [metric.name for metric in found] == ["refusal_rate", "short", "made", "own"]
    assert all(isinstance(metric, Metric) for metric in found)
    assert reduce_outcomes(SAMPLE, found).estimates()["own"] == Estimate(1.0, 3)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("shrot", "has no 'shrot'"),
        ("number", "is int without name, contribute, merge, finish"),
        ("broken", "RuntimeError: no luck"),
        ("Misnamed", "cannot name a metric"),
        ("a.b", "not of the form"),
        ("", "not of the form"),
    ],
)
def test_what_is_no_metric_is_told(own: str, tmp_path: Path, attribute: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve([f"{own}:{attribute}"], search_path=tmp_path)


def test_a_typing_error_is_answered_with_the_nearest_name(own: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(["fact_coverge"])
    assert caught.value.hint == "did you mean 'fact_coverage'?"
    with pytest.raises(UsageError) as caught:
        resolve([f"{own}:shrot"], search_path=tmp_path)
    assert caught.value.hint == "did you mean 'short'?"
    with pytest.raises(UsageError) as caught:
        resolve(["zzz"])
    assert "fact_coverage, refusal_rate" in str(caught.value.hint)


def test_a_module_that_does_not_import_is_told(tmp_path: Path) -> None:
    (tmp_path / "raises_at_import.py").write_text("1 / 0")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        resolve(["raises_at_import:metric"], search_path=tmp_path)
    with pytest.raises(UsageError, match="No module named 'not_there_at_all'"):
        resolve(["not_there_at_all:metric"])


def test_two_metrics_of_one_name_are_refused(own: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both named 'fact_coverage'"):
        resolve(["fact_coverage", f"{own}:fact_coverage"], search_path=tmp_path)
    with pytest.raises(UsageError, match="both named"):
        resolve(["refusal_rate", "refusal_rate"])
