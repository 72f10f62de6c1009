"""Every kind of world, run and logs stands in every grading, whatever its seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grader.experiment_profiler.worlds.kinds import KINDS, grading


@pytest.mark.parametrize("seed", range(6))
def test_a_grading_has_one_of_each_kind(seed: int) -> None:
    drawn = grading(f"seed {seed}", Path("/nowhere"))
    assert [kind for kind, is_there in KINDS.items() if not is_there(drawn)] == []
