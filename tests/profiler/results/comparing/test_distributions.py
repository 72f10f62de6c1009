from __future__ import annotations

import pytest
from scipy import stats

from profiler.results.comparing.distributions import fair_coin, normal_above, t_above


@pytest.mark.parametrize("df", [1, 2, 3, 10, 99, 200, 201, 5_000, 10**6])
def test_students_t_is_that_of_scipy(df: int) -> None:
    ts = [0.0, 0.1, 0.7, 1.0, 2.0, 3.3, 8.0, -1.5]
    assert [t_above(t, df) for t in ts] == pytest.approx(stats.t.sf(ts, df), rel=1e-9)


@pytest.mark.parametrize("z", [-3.0, 0.0, 0.5, 2.0, 6.0])
def test_the_normal_tail_is_that_of_scipy(z: float) -> None:
    assert normal_above(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize("tosses", [1, 2, 7, 50, 999, 1_000, 1_001, 20_000, 10**6])
def test_the_fair_coin_is_that_of_scipy(tosses: int) -> None:
    around = round(tosses / 2 - tosses**0.5), round(tosses / 2 - tosses**0.5 / 3)
    for heads in {0, 1, tosses // 2, tosses, *(max(0, each) for each in around), tosses // 3}:
        assert fair_coin(heads, tosses) == pytest.approx(stats.binomtest(heads, tosses).pvalue, rel=1e-9, abs=1e-290)


def test_no_toss_says_nothing() -> None:
    assert fair_coin(0, 0) == 1.0
