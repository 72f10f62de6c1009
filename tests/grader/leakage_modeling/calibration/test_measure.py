from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from grader.leakage_modeling.calibration.measure import (
    ORACLE,
    Kept,
    Row,
    as_text,
    gain,
    summary,
    variance_shares,
    worst_seed_share,
)
from task_kit.leakage_modeling.agents.policies import GRADED, LEAKS, POLICIES

if TYPE_CHECKING:
    from pathlib import Path


def row(seed: int, policy: str, *, regret: float, movement: float = 0.0) -> Row:
    return Row(
        seed=seed,
        policy=policy,
        passed=regret <= 0.3,
        reason=None if regret <= 0.3 else "score",
        auroc=0.9,
        regret=regret,
        miscalibration=0.01,
        movement=movement,
        legacy_passed=seed % 2 == 0,
    )


def rows(seeds: int = 6) -> list[Row]:
    """Each policy has a regret of its own, and each seed adds a little."""
    names = list(dict.fromkeys([ORACLE, *(policy.name for policy in (*POLICIES, *GRADED))]))
    leaking = {policy.name for policy in LEAKS}
    return [
        row(seed, name, regret=place / 20 + seed / 1000, movement=0.5 if name in leaking else 1e-17)
        for seed in range(seeds)
        for place, name in enumerate(names)
    ]


def test_a_verdict_that_follows_the_policy_is_all_skill() -> None:
    shares = variance_shares(np.array([[True] * 5, [False] * 5]))

    assert (shares.policy, shares.seed) == (1.0, 0.0)


def test_a_verdict_that_follows_the_seed_is_all_luck() -> None:
    shares = variance_shares(np.array([[True, False, True, False]] * 3))

    assert (shares.policy, shares.seed) == (0.0, 1.0)


def test_what_neither_decides_alone_is_told_apart() -> None:
    shares = variance_shares(np.array([[True, False], [False, True]]))

    assert (shares.policy, shares.seed, shares.both) == (0.0, 0.0, 1.0)
    assert variance_shares(np.ones((3, 3))).both == 0.0


def test_the_gain_is_by_how_much_regret_falls_on_the_same_seeds() -> None:
    found = gain(
        [row(seed, name, regret=regret + seed) for seed in range(9) for name, regret in (("a", 0.2), ("b", 0.25))],
        of="a",
        over="b",
    )

    assert found.mean == pytest.approx(0.05)
    assert found.low == pytest.approx(found.high)


def test_the_summary_tells_what_is_claimed() -> None:
    found = summary(rows())

    assert found["policies"][ORACLE]["passed"] == 6
    assert found["movement"] == {"honest_at_most": 1e-17, "leaking_at_least": 0.5}
    assert found["variance"]["policy"] == 1.0
    assert found["legacy_variance"]["seed"] == pytest.approx(1.0)
    assert 0 < worst_seed_share(rows()) < 0.3
    assert "100.0% by policy" in as_text(0, found)


def test_verdicts_that_were_kept_are_not_sought_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first = [row(4, ORACLE, regret=0.0), row(4, "careful", regret=0.1)]
    Kept(path, difficulty=2).add(first)
    Kept(path, difficulty=3).add([row(5, ORACLE, regret=0.0)])

    assert Kept(path, difficulty=2).rows == {4: first}
    assert set(Kept(path, difficulty=3).rows) == {5}
    assert Kept(None, difficulty=2).rows == {}
