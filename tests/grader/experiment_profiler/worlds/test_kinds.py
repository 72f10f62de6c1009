"""Every kind of world, run and logs stands in every grading, whatever its seed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.grader.experiment_profiler.worlds.kinds import KINDS, Grading, grading

SEEDS = [f"seed {number}" for number in range(6)]


@cache
def drawn(seed: str) -> Grading:
    return grading(seed, Path("/nowhere"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_grading_has_one_of_each_kind(kind: str) -> None:
    assert [seed for seed in SEEDS if not KINDS[kind](drawn(seed))] == []
