from __future__ import annotations

from typing import Literal

import pytest

from grader.leakage_modeling.calibration.calibrate import Graded, Unreachable, at_threshold, calibrate, find_threshold


def episode(
    seed: int,
    status: Literal["pass", "fail", "error"] = "pass",
    *,
    reason: str | None = None,
    score: float | None = None,
    clean: bool = True,
) -> Graded:
    return Graded(seed=str(seed), status=status, reason=reason, score=score, clean=clean)


def scored(scores: list[float]) -> list[Graded]:
    return [episode(seed, score=score) for seed, score in enumerate(scores)]


def repeated(scores: list[float]) -> list[Graded]:
    """Two attempts in each world, whose scores have nothing to do with each other."""
    n = len(scores)
    return [episode(seed % (n // 2), score=scores[(seed * 7919) % n]) for seed in range(n)]


def test_no_submission_counts_against_the_rate_and_a_broken_grader_does_not() -> None:
    episodes = [
        episode(1, "pass", score=0.01),
        episode(2, "fail", reason="no_submission", clean=False),
        episode(3, "fail", reason="timeout", clean=False),
        episode(4, "error", reason="provider"),
    ]

    found = calibrate(episodes, asked=5, started=4, threshold=0.02, lower_is_better=True, controls={})

    assert (found.asked, found.started, found.graded, found.excluded) == (5, 4, 3, 1)
    assert (found.rate.passed, found.rate.episodes) == (1, 3)
    assert found.reasons == {"no_submission": 1, "timeout": 1}


def test_ten_episodes_are_undecided_and_ask_for_more() -> None:
    episodes = [episode(seed, "pass" if seed < 2 else "fail", reason="score") for seed in range(10)]

    found = calibrate(episodes, asked=10, started=10, threshold=0.02, lower_is_better=True, controls={})

    assert found.verdict == "undecided"
    assert found.more_needed
    assert found.more_needed + 10 >= found.fewest_that_certify


def test_a_near_miss_failed_by_the_score_alone_and_by_little() -> None:
    episodes = [
        episode(1, "fail", reason="score", score=0.0215),
        episode(2, "fail", reason="score", score=0.05),
        episode(3, "fail", reason="uses_forbidden", score=0.0215, clean=False),
        episode(4, "pass", score=0.01),
    ]

    found = calibrate(episodes, asked=4, started=4, threshold=0.02, lower_is_better=True, controls={})

    assert found.near_misses == 1


def test_pass_at_k_is_taken_a_seed_when_seeds_repeat() -> None:
    episodes = [episode(1, "pass"), episode(1, "fail"), episode(2, "fail"), episode(2, "fail")]

    found = calibrate(episodes, asked=4, started=4, threshold=0.02, lower_is_better=True, controls={})

    assert found.pass_at == {1: 0.25, 2: 0.5, 4: None, 8: None}
    assert found.pass_all == {1: 0.25, 2: 0.0, 4: None, 8: None}


def test_nothing_graded_has_no_rate() -> None:
    found = calibrate([episode(1, "error")], asked=1, started=1, threshold=0.02, lower_is_better=True, controls={})

    assert found.rate.rate is None
    assert found.verdict == "undecided"


def test_the_threshold_lets_the_wanted_share_pass_and_is_tried_on_other_seeds() -> None:
    found = find_threshold(
        repeated([seed / 1000 for seed in range(200)]),
        oracle=scored([0.0] * 100),
        no_op=[],
        quantile=0.75,
        lower_is_better=True,
    )

    assert found.found_on.rate == pytest.approx(0.25, abs=0.01)
    assert found.verified_on.episodes == 100
    assert found.verified_on.rate == pytest.approx(0.25, abs=0.08)
    assert found.verdict == "in-band"


def test_a_threshold_that_splits_a_policy_without_luck_of_its_own_is_refused() -> None:
    """The same score in every repeat: whoever passes was given an easier world."""
    same = [episode(seed, score=seed / 1000) for seed in range(100) for _ in range(3)]

    with pytest.raises(Unreachable, match="in none of 100 worlds do repeats fall on both sides"):
        find_threshold(same, oracle=scored([0.0] * 100), no_op=[], quantile=0.75, lower_is_better=True)


def test_without_repeats_no_threshold_is_recommended() -> None:
    with pytest.raises(Unreachable, match="--per-seed 2"):
        find_threshold(
            scored([seed / 1000 for seed in range(100)]),
            oracle=scored([0.0] * 100),
            no_op=[],
            quantile=0.75,
            lower_is_better=True,
        )


def test_a_threshold_that_all_reach_splits_nobody() -> None:
    same = [episode(seed, score=0.1) for seed in range(20) for _ in range(2)]

    found = find_threshold(same, oracle=scored([0.0] * 20), no_op=[], quantile=0.75, lower_is_better=True)

    assert found.verified_on.rate == 1.0


def test_a_later_look_spends_what_the_looks_before_it_have_left() -> None:
    episodes = [episode(seed, "pass" if seed < 13 else "fail", reason="score") for seed in range(56)]

    looks = [
        calibrate(episodes, asked=56, started=56, threshold=0.02, lower_is_better=True, controls={}, look=look)
        for look in (1, 2, 9)
    ]

    assert [look.error for look in looks] == pytest.approx([0.025, 0.05 / 6, 0.05 / 90])
    assert [look.verdict for look in looks] == ["in-band", "undecided", "undecided"]


def test_where_more_is_better_the_highest_scores_pass() -> None:
    found = find_threshold(
        repeated([seed / 200 for seed in range(200)]),
        oracle=scored([1.0] * 100),
        no_op=[],
        quantile=0.9,
        lower_is_better=False,
    )

    assert found.value == pytest.approx(0.9, abs=0.01)


def test_a_threshold_the_oracle_cannot_reach_is_refused() -> None:
    oracle = scored([0.0] * 90 + [1.0] * 10)

    with pytest.raises(Unreachable, match="the oracle itself reaches"):
        find_threshold(
            scored([seed / 1000 for seed in range(200)]), oracle=oracle, no_op=[], quantile=0.75, lower_is_better=True
        )


def test_too_few_clean_episodes_have_no_threshold() -> None:
    episodes = [episode(seed, "fail", clean=False, reason="no_submission") for seed in range(20)]

    with pytest.raises(Unreachable, match="0 of 10 episodes reached a score"):
        find_threshold(episodes, oracle=scored([0.0] * 20), no_op=[], quantile=0.75, lower_is_better=True)


def test_one_seed_cannot_be_split() -> None:
    with pytest.raises(Unreachable, match="one half of the seeds"):
        find_threshold([episode(1, score=0.1)] * 9, oracle=[], no_op=[], quantile=0.5, lower_is_better=True)


def test_no_threshold_saves_what_failed_for_another_reason() -> None:
    leaking = [episode(1, "fail", reason="uses_forbidden", score=0.0, clean=False)]

    assert [row.status for row in at_threshold(leaking, 1.0, lower_is_better=True)] == ["fail"]


def test_a_threshold_that_the_no_op_reaches_is_refused() -> None:
    poor = repeated([0.9 + seed / 100 for seed in range(40)])
    idle = scored([1.0] * 20)

    with pytest.raises(Unreachable, match="asks for no skill"):
        find_threshold(poor, oracle=scored([0.0] * 20), no_op=idle, quantile=0.25, lower_is_better=True)

    found = find_threshold(poor, oracle=scored([0.0] * 20), no_op=idle, quantile=0.75, lower_is_better=True)
    assert found.value < 1
