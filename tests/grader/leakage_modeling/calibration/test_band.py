from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from grader.leakage_modeling.calibration.band import (
    BAND,
    ERROR,
    POWER,
    Position,
    error_of_look,
    fewest_that_certify,
    more_needed,
    position,
)
from grader.leakage_modeling.calibration.intervals import Tally, effective


def truth(rate: float) -> Position:
    if rate < BAND.low:
        return "below"
    return "above" if rate > BAND.high else "in-band"


@pytest.mark.parametrize("n", [10, 20, 36, 60, 100, 300, 1000])
def test_a_verdict_is_wrong_in_at_most_5_percent_at_any_rate(n: int) -> None:
    verdicts = [position(Tally(passed, n)) for passed in range(n + 1)]

    for rate in np.linspace(0.02, 0.7, 137):
        chances = stats.binom(n, rate).pmf(np.arange(n + 1))
        wrong = sum(
            chance
            for verdict, chance in zip(verdicts, chances, strict=True)
            if verdict not in {truth(rate), "undecided"}
        )
        assert wrong <= 0.05, rate


@pytest.mark.parametrize(("seeds", "each"), [(10, 10), (40, 3), (60, 5)])
@pytest.mark.parametrize("correlation", [0.2, 0.5, 0.9])
def test_episodes_that_share_seeds_do_not_make_the_verdict_rash(seeds: int, each: int, correlation: float) -> None:
    draw = np.random.default_rng([seeds, each, int(correlation * 10)])
    spread = (1 - correlation) / correlation
    for rate in (0.02, 0.09, 0.105, 0.2, 0.39, 0.41, 0.7):
        rates = draw.beta(rate * spread, (1 - rate) * spread, size=(200, seeds))
        passes = draw.binomial(each, rates)
        found = [position(effective([Tally(int(passed), each) for passed in row])) for row in passes]
        assert sum(verdict not in {truth(rate), "undecided"} for verdict in found) <= 16, rate  # 5 % of 200, and chance


def test_episodes_taken_for_independent_would_make_it_rash() -> None:
    draw = np.random.default_rng(3)
    passes = draw.binomial(10, draw.beta(0.105, 0.895, size=(200, 30)))

    naive = [position(Tally(int(row.sum()), 300)) for row in passes]

    assert sum(verdict == "below" for verdict in naive) > 20


@pytest.mark.parametrize("n", [10, 20])
def test_no_outcome_of_so_few_episodes_certifies_the_band(n: int) -> None:
    assert {position(Tally(passed, n)) for passed in range(n + 1)} <= {"below", "above", "undecided"}


def test_the_fewest_episodes_that_can_certify_the_band() -> None:
    n = fewest_that_certify()

    assert n == 36  # with all of the 5 % spent at one look
    assert "in-band" in {position(Tally(passed, n)) for passed in range(n + 1)}
    assert "in-band" not in {position(Tally(passed, n - 1)) for passed in range(n)}


@pytest.mark.parametrize("passed", [0, 4, 6])
def test_with_the_episodes_asked_for_a_verdict_is_likely(passed: int) -> None:
    tally = Tally(passed, 20)
    more = more_needed(tally)
    assert more
    rate, n = (passed + 0.5) / 21, 20 + more

    verdicts = [position(Tally(after, n)) for after in range(n + 1)]
    chance = sum(stats.binom.pmf(after, n, rate) for after, verdict in enumerate(verdicts) if verdict != "undecided")

    assert chance >= POWER - 0.02


def test_nothing_more_is_needed_once_there_is_a_verdict() -> None:
    assert position(Tally(0, 60)) == "below"
    assert more_needed(Tally(0, 60)) == 0


def test_at_an_edge_no_number_of_episodes_tells() -> None:
    assert more_needed(Tally(400.1, 1000)) is None


def test_all_looks_together_spend_no_more_than_is_allowed() -> None:
    assert sum(error_of_look(look) for look in range(1, 10_000)) < ERROR
    assert sum(error_of_look(look) for look in range(1, 10_000)) == pytest.approx(ERROR, rel=1e-3)


@pytest.mark.parametrize("rate", [0.09, 0.1 - 1e-9, 0.4 + 1e-9, 0.41])
def test_who_goes_on_until_there_is_a_verdict_is_wrong_in_at_most_5_percent(rate: float) -> None:
    """Worked out exactly: after every twenty episodes one looks, and stops as soon as something is certain."""
    undecided = {0: 1.0}  # by how many have passed: how likely that is, with nothing decided so far
    wrong = naive = 0.0
    still = dict(undecided)
    for look in range(1, 13):
        undecided, decided = looked_at(undecided, n=20 * look, rate=rate, error=error_of_look(look))
        still, rashly = looked_at(still, n=20 * look, rate=rate, error=ERROR)
        wrong, naive = wrong + decided, naive + rashly

    assert wrong <= ERROR
    assert naive > wrong


def looked_at(undecided: dict[int, float], *, n: int, rate: float, error: float) -> tuple[dict[int, float], float]:
    """Twenty more episodes and a look at all: what is still undecided, and how likely a wrong verdict was."""
    after = np.zeros(n + 1)
    for passed, chance in undecided.items():
        after[passed : passed + 21] += chance * stats.binom.pmf(np.arange(21), 20, rate)
    verdicts = [position(Tally(passed, n), error=error) for passed in range(n + 1)]
    wrong = sum(
        float(chance)
        for verdict, chance in zip(verdicts, after, strict=True)
        if verdict not in {truth(rate), "undecided"}
    )
    return {passed: float(after[passed]) for passed in range(n + 1) if verdicts[passed] == "undecided"}, wrong
