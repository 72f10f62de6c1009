from __future__ import annotations

import pytest

from profiler.metrics import alike
from profiler.metrics.alike import AlikeOutcomes


def test_outcomes_that_contribute_the_same_have_one_object() -> None:
    outcomes = AlikeOutcomes()
    one, other, again = outcomes.of([((1, 2), None), ((1, 3), None), ((1, 2), None)])
    assert one is again
    assert one is not other
    assert outcomes.of([((1, 3), None)]) == [other]
    assert (one.states, other.states) == (((1, 2), None), ((1, 3), None))


def test_states_that_cannot_be_hashed_stand_alone() -> None:
    outcomes = AlikeOutcomes()
    hashed, listed, again, same = outcomes.of([(1,), ([2],), ([2],), (1,)])
    assert hashed is same
    assert listed is not again
    assert [each.states for each in (hashed, listed, again)] == [(1,), ([2],), ([2],)]


def test_what_is_remembered_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "LIMIT", 10)
    outcomes = AlikeOutcomes()
    for first in range(0, 1000, 5):
        found = outcomes.of([(number,) for number in range(first, first + 5)])
        assert [each.states for each in found] == [(number,) for number in range(first, first + 5)]
    assert len(outcomes._known) <= 10 + 5
