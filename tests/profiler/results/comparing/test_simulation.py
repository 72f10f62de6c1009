"""The simulation behind the intervals, small; `python -m tests.profiler.results.comparing.simulation` is the whole of it."""

from __future__ import annotations

import pytest

from tests.profiler.results.comparing import simulation

DRAWS = 4_000
SLACK = 0.012  # four standard errors of a share near 5 % of so many draws


@pytest.mark.parametrize(("base", "new"), [(0.5, 0.5), (0.8, 0.9), (0.95, 0.99)])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_score_intervals_hold_the_truth_and_exact_tests_cry_no_wolf(
    base: float, new: float, correlation: float
) -> None:
    cell = simulation.true_false(200, base=base, new=new, correlation=correlation, draws=DRAWS)

    assert 0.92 <= cell.covered <= 0.99
    assert cell.alarms is None or cell.alarms <= 0.055 + SLACK


@pytest.mark.parametrize("shape", ["normal", "heavy, both sides (t3)", "shares of three facts"])
def test_t_intervals_hold_the_truth(shape: str) -> None:
    cell = simulation.numbers(200, shape, draws=500)

    assert cell.covered == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("n", [20, 50])
def test_few_pairs_that_differ_are_no_alarm(n: int) -> None:
    """With t alone one comparison in six would cry wolf, and with a sign test of equal pairs one of 20 in eight."""
    cell = simulation.numbers(n, "one in ten differs", draws=500)

    assert cell.alarms is not None
    assert cell.alarms <= 0.055
