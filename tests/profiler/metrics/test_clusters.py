"""Intervals of repeated answers, against statsmodels, and against the interval of one answer that was copied."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS, RegressionResultsWrapper

from profiler.core.nouns import Outcome
from profiler.metrics import clusters, intervals
from profiler.metrics import reduction as reduction_module
from profiler.metrics.builtin import BUILTIN
from profiler.metrics.metric import Estimate, Metric, mean, rate, total
from profiler.metrics.pass_at import pass_at
from profiler.metrics.reduction import Reduction, reduce_outcomes
from tests.profiler.metrics.coverage import SETTINGS, Setting, covered
from tests.profiler.metrics.repeated import estimate, outcomes

NUMBER = mean("number", lambda outcome: outcome.expected)  # type: ignore[arg-type, return-value]
assert NUMBER.score is not None
BOUNDED = mean("bounded", NUMBER.score, lower=0, upper=1)
RIGHT = rate("right", lambda outcome: outcome.completion == "yes")


def ragged(seed: int, *, dialogues: int = 15) -> list[list[float]]:
    """Dialogues of one to five answers, and alike within each."""
    draw = random.Random(seed)
    middles = [draw.gauss(3.0, 1.0) for _ in range(dialogues)]
    return [[draw.gauss(middle, 0.5) for _ in range(draw.randint(1, 5))] for middle in middles]


def of_regression(values: list[list[float]], *, corrected: bool) -> RegressionResultsWrapper:
    flat, groups = np.concatenate(values), np.repeat(np.arange(len(values)), [len(each) for each in values])
    model = OLS(flat, np.ones((len(flat), 1)))
    return model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": corrected}, use_t=True)


@pytest.mark.parametrize("seed", range(8))
def test_the_interval_of_a_mean_is_the_cluster_robust_one_of_statsmodels(seed: int) -> None:
    values = ragged(seed, dialogues=2 + 7 * seed)

    found = estimate(NUMBER, outcomes(values, key="expected"))

    oracle = of_regression(values, corrected=True)
    assert found.ci95 is not None
    assert found.value == pytest.approx(oracle.params[0], abs=1e-9)
    assert found.ci95 == pytest.approx(tuple(oracle.conf_int()[0]), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_the_variances_and_the_effective_n_are_those_of_statsmodels(seed: int) -> None:
    values = ragged(seed)
    flat, sizes = np.concatenate(values), np.array([len(each) for each in values])
    whole = OLS(flat, np.ones((len(flat), 1))).fit()
    each = OLS(flat, np.eye(len(values))[np.repeat(np.arange(len(values)), sizes)]).fit()
    within, between = each.mse_resid, (whole.ssr - each.ssr) / (len(values) - 1)
    size = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(sizes) - 1)

    found = estimate(NUMBER, outcomes(values, key="expected")).repeated

    assert found is not None
    assert found.dialogues == len(values)
    assert found.within == pytest.approx(within, abs=1e-9)
    assert found.between == pytest.approx(max(0.0, (between - within) / size), abs=1e-9)
    certain = of_regression(values, corrected=False).bse[0] ** 2
    assert found.n_effective == pytest.approx(min(len(flat), flat.var() / certain), rel=1e-9)


def copies(answers: list[Outcome], times: int) -> list[Outcome]:
    return [msgspec.structs.replace(each, repeat=repeat) for each in answers for repeat in range(times)]


def one_each(draw: random.Random, *, dialogues: int) -> list[Outcome]:
    return [
        Outcome(
            dialogue_id=f"d{number}",
            type=draw.choice(["answer", "answer", "answer", "refusal", "error"]),
            completion=draw.choice(["yes", "no", "a b", "a"]),
            required_facts=("a", "b")[: draw.randint(0, 2)],
            expect_refusal=draw.choice([True, False, None]),
            expected=draw.random(),
        )
        for number in range(dialogues)
    ]


@pytest.mark.parametrize("metric", [*BUILTIN.values(), NUMBER, RIGHT, BOUNDED])
@pytest.mark.parametrize("times", [2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_one_answer_that_is_copied_has_the_interval_of_one_answer(
    metric: Metric[object], times: int, seed: int
) -> None:
    answers = one_each(random.Random(seed), dialogues=25)

    once, copied = estimate(metric, answers), estimate(metric, copies(answers, times))

    def expect_alike(once: Estimate, copied: Estimate) -> None:
        assert copied.value == pytest.approx(once.value)
        assert copied.n == once.n * times
        assert copied.ci95 == pytest.approx(once.ci95, abs=1e-12)
        if copied.repeated is not None:
            assert copied.repeated.n_effective == pytest.approx(once.n)
            assert copied.repeated.within == pytest.approx(0.0, abs=1e-12)

    expect_alike(once, copied)
    assert (once.parts or {}).keys() == (copied.parts or {}).keys()
    for name, part in (once.parts or {}).items():
        expect_alike(part, (copied.parts or {})[name])


def test_the_geometric_mean_goes_by_how_coverage_and_refusals_go_together_over_dialogues() -> None:
    draw, dialogues = random.Random(4), list[list[Outcome]]()
    for number in range(60):
        likely = draw.random()  # a dialogue that is often refused is also answered badly
        same: dict[str, Any] = {"dialogue_id": f"d{number}", "required_facts": ("a", "b")}
        kinds = ["refusal" if draw.random() < likely / 2 else "answer" for _ in range(draw.randint(1, 5))]
        dialogues.append(
            [
                Outcome(type=kind, completion="a b" if draw.random() > likely else "a", repeat=repeat, **same)  # type: ignore[arg-type]
                for repeat, kind in enumerate(kinds)
            ]
        )
    answers = [each for dialogue in dialogues for each in dialogue]
    covered, refused, found = (
        estimate(BUILTIN[name], answers) for name in ("fact_coverage", "refusal_rate", "geometric_mean")
    )
    assert covered.value is not None
    assert refused.value is not None
    assert covered.ci95 is not None
    assert refused.ci95 is not None
    off = [
        (
            sum(len(each.completion or "") // 2 * 0.5 + 0.5 - covered.value for each in dialogue),
            sum((each.type == "answer") - (1 - refused.value) for each in dialogue),
        )
        for dialogue in dialogues
    ]
    together = np.array(off).T @ np.array(off)

    low, high = intervals.product_interval(
        *(covered.value, covered.ci95, 1 - refused.value, (1 - refused.ci95[1], 1 - refused.ci95[0])),
        correlation=together[0, 1] / math.sqrt(together[0, 0] * together[1, 1]),
    )
    assert found.ci95 == pytest.approx((math.sqrt(low), math.sqrt(high)), abs=1e-9)


@pytest.mark.parametrize("said", ["yes", "no"])
def test_where_all_agree_the_interval_is_as_wide_as_the_dialogues_are_few(said: str) -> None:
    found = estimate(RIGHT, outcomes([[said] * 5] * 10))
    assert found.ci95 == intervals.wilson(10 if said == "yes" else 0, 10)


def test_independent_answers_count_almost_one_by_one() -> None:
    draw = random.Random(3)
    found = estimate(RIGHT, outcomes([[draw.choice(["yes", "no"]) for _ in range(4)] for _ in range(500)]))
    assert found.repeated is not None
    assert 1_700 < found.repeated.n_effective <= 2_000


def test_a_single_dialogue_is_one_answer_however_often_it_is_asked() -> None:
    assert estimate(RIGHT, outcomes([["yes", "no", "yes"]])).ci95 == intervals.wilson(2 / 3, 1)
    assert estimate(NUMBER, outcomes([[0.5, 0.7]], key="expected")).ci95 is None


def test_a_total_has_no_interval_and_no_note() -> None:
    found = estimate(
        total("sum", lambda outcome: float(str(outcome.expected))), outcomes([[1.0, 2.0], [3.0]], key="expected")
    )
    assert (found.value, found.n, found.ci95, found.note) == (6.0, 3, None, None)


def test_a_metric_of_ones_own_without_clusters_has_no_interval_but_a_note() -> None:
    own = msgspec.structs.replace(RIGHT, cluster=None)

    found = estimate(own, outcomes([["yes", "no"], ["yes", "yes"]]))

    assert (found.value, found.n, found.ci95) == (0.75, 4, None)
    assert "cluster" in (found.note or "")
    asked_once = [msgspec.structs.replace(each, repeat=None) for each in outcomes([["yes"], ["no"]])]
    assert estimate(own, asked_once).ci95 is not None


def test_a_cluster_that_raises_is_a_fault_of_its_metric_alone() -> None:
    def broken(state: object) -> object:
        raise ZeroDivisionError("mine")

    reduction = reduce_outcomes(
        outcomes([["yes", "no"]]),
        [msgspec.structs.replace(RIGHT, name="bad", cluster=broken), RIGHT],
    )

    assert [fault.metric for fault in reduction.faults] == ["bad"]
    assert [each.value for each in reduction.estimates().values()] == [None, 0.5]


dialogue_lists = st.lists(st.lists(st.sampled_from(["yes", "no", "a", "a b"]), min_size=1, max_size=7), max_size=12)


@given(dialogues=dialogue_lists, at=st.integers(0, 12), order=st.randoms(use_true_random=False))
def test_shards_that_split_no_dialogue_merge_to_the_same_in_any_order(
    dialogues: list[list[str]], at: int, order: random.Random
) -> None:
    metrics = [*BUILTIN.values(), RIGHT]
    kinds: dict[str, Any] = {"required_facts": ("a", "b"), "expect_refusal": False, "tags": ("t",)}
    answers = outcomes(dialogues, **kinds)
    whole = reduce_outcomes(answers, metrics)
    cut = sum(map(len, dialogues[:at]))
    parts = [reduce_outcomes(part, metrics) for part in (answers[:cut], answers[cut:])]
    order.shuffle(parts)
    merged = Reduction(metrics)
    for part in parts:
        merged.merge(part)

    assert merged.estimates() == whole.estimates()
    assert merged.by_tag() == whole.by_tag()
    assert merged.total == len(answers)


@pytest.mark.parametrize(("batch", "pending"), [(256, 2048), (4, 2), (1, 1)])
def test_dialogues_are_put_together_across_batches_too(
    monkeypatch: pytest.MonkeyPatch, batch: int, pending: int
) -> None:
    """Three answers each do not fill a batch evenly."""
    monkeypatch.setattr(reduction_module, "BATCH", batch)
    monkeypatch.setattr(reduction_module, "PENDING_LIMIT", pending)
    draw = random.Random(1)
    answers = outcomes([[draw.choice(["yes", "no"]) for _ in range(3)] for _ in range(400)])
    reduction = Reduction([RIGHT])
    for each in answers:
        reduction.add(each)

    found = reduction.estimates()["right"]

    assert found == estimate(RIGHT, answers)
    assert found.repeated is not None
    assert found.repeated.dialogues == 400
    counts = Counter(tuple(each.completion for each in answers[at : at + 3]) for at in range(0, 1200, 3))
    rights = sum(Counter(said)["yes"] * times for said, times in counts.items())
    assert found.value == rights / 1200


def test_states_without_a_hash_are_put_together_all_the_same() -> None:
    lists: Metric[list[int]] = Metric(
        name="lists",
        contribute=lambda outcome: [1, int(outcome.completion == "yes")],
        merge=lambda ours, theirs: [ours[0] + theirs[0], ours[1] + theirs[1]],
        cluster=lambda state: [1, state[1] * 10 // state[0]],
        finish=lambda state: Estimate(None if state is None else state[1] / state[0], state[0] if state else 0),
    )
    found = estimate(lists, outcomes([["yes", "yes"], ["yes", "no"], ["no"]]))
    assert (found.value, found.n) == (5.0, 3)


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.dialogues <= 50][::13])
def test_the_intervals_cover_what_they_promise(setting: Setting) -> None:
    """A few cells of the table that `python -m tests.profiler.metrics.coverage` prints, with fewer draws."""
    draws = 2_000
    assert covered(setting, draws=draws) >= 0.92 - 3 * math.sqrt(0.92 * 0.08 / draws)


DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
EXAMPLES = re.findall(r"^\| (right or wrong|numbers): `([^`]+)` \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
WRITTEN = mean("written", lambda outcome: float(outcome.completion or "nan"))


@pytest.mark.parametrize(("kind", "answers", "cells"), EXAMPLES)
def test_the_examples_of_the_document_are_true(kind: str, answers: str, cells: str) -> None:
    metric = WRITTEN if kind == "numbers" else rate("ok", lambda outcome: outcome.completion == "1")
    dialogues = [list(each.replace(",", "")) for each in answers.split()]

    found = reduce_outcomes(outcomes(dialogues), [metric, pass_at(metric, [2])]).estimates()[metric.name]

    assert found.repeated is not None
    assert found.ci95 is not None
    parts, interval = found.parts or {}, " .. ".join(f"{bound:.4f}" for bound in found.ci95)
    passes = [f"{parts[name].value:.4f}" if name in parts else "" for name in ("pass@2", "pass^2")]
    told = [f"{found.value:.4f}", str(found.n), interval, f"{found.repeated.n_effective:.2f}"]
    told += [f"{found.repeated.within:.4f}", f"{found.repeated.between:.4f}", *passes]
    assert [cell.strip() for cell in cells.split("|")] == told


def test_the_document_has_examples() -> None:
    assert {kind for kind, *_ in EXAMPLES} == {"right or wrong", "numbers"}


def test_the_sums_of_a_dialogue_without_answers_are_nothing() -> None:
    assert clusters.of_dialogue(0, 0) == (0, 0, 0, 0, 0)
