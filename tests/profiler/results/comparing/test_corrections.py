from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from profiler.results.comparing.corrections import benjamini_hochberg, holm

PS = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30)


@settings(max_examples=8)  # statsmodels takes a while
@given(PS)
def test_both_are_those_of_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1], rel=1e-9, abs=1e-300)
    assert benjamini_hochberg(ps) == pytest.approx(multipletests(ps, method="fdr_bh")[1], rel=1e-9, abs=1e-300)


def test_of_nothing_nothing_is_corrected() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
