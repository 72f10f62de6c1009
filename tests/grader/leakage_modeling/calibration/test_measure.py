"""`measure`: what it counts, and that a run that was cut off goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from grader.leakage_modeling.calibration.measure import (
    BLIND,
    FEW,
    REPEATS,
    Judged,
    Kept,
    Row,
    as_text,
    judge,
    learn,
    main,
    seed_share,
    summary,
)

if TYPE_CHECKING:
    from pathlib import Path


def row(policy: str, *, passed: bool, repeat: int = 0) -> Row:
    reason = None if passed else "uses_forbidden:calls"
    return Row(policy=policy, repeat=repeat, passed=passed, reason=reason, regret=0.1, miscalibration=0.01)


def judged(seed: int, *rows: Row) -> Judged:
    return Judged(difficulty=1, split="seen", seed=seed, cpu_s=1.5, rows=rows)


def test_the_world_decides_all_or_nothing_or_a_part() -> None:
    draw = np.random.default_rng(1)
    alike = np.repeat(np.arange(40)[:, None] % 2, 5, axis=1)
    apart = draw.random((400, 5)) < 0.3
    rates = draw.beta(0.3, 0.7, size=(4000, 1))

    assert seed_share(alike) == pytest.approx(1.0)
    assert seed_share(apart) < 0.06
    assert seed_share(draw.random((4000, 5)) < rates) == pytest.approx(0.5, abs=0.03)  # of a beta: 1 / (a + b + 1)
    assert seed_share(np.ones((10, 5))) == 0.0


def test_rates_reasons_and_cost_are_counted_by_policy() -> None:
    worlds = [
        judged(
            seed,
            row("oracle", passed=True),
            row("blind", passed=seed == 0),
            *(row("hurried", passed=repeat == 0, repeat=repeat) for repeat in range(REPEATS)),
        )
        for seed in range(4)
    ]

    found = summary(worlds)

    assert (found["worlds"], found["cpu_s"]) == (4, 6.0)
    assert [found["policies"][name]["passed"] for name in ("oracle", "blind", "hurried")] == [4, 1, 4]
    assert found["policies"]["blind"]["reasons"] == {"uses_forbidden": 3}
    assert found["seed_share_of_hurried"] == 0.0
    assert "hurried" in as_text(1, "seen", found)


@pytest.mark.long
def test_every_policy_is_judged_in_a_world_and_a_blind_one_has_learnt_from_others() -> None:
    weights = learn(1, worlds=3)

    found = judge(0, difficulty=1, split="held-out", weights=weights)

    names = [one.policy for one in found.rows]
    assert set(BLIND) <= set(names)
    assert names.count("hurried") == REPEATS
    assert {one.policy: one.passed for one in found.rows}["oracle"]
    assert any(mark.startswith("name:") for mark in weights)
    later = judge(FEW, difficulty=1, split="held-out", weights=weights)
    assert "no_op" not in {one.policy for one in later.rows}


def test_verdicts_outlive_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    kept = Kept(path)
    kept.add(judged(3, row("oracle", passed=True)))
    kept.add(judged(4, row("oracle", passed=False)))

    again = Kept(path)

    assert again.worlds == kept.worlds
    assert set(again.worlds) == {(1, "seen", 3), (1, "seen", 4)}


def test_one_world_says_nothing_of_luck(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--worlds", "1"])

    assert "expected at least 2 worlds" in capsys.readouterr().err
