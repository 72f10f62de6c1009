from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import expit, logit

from grader.leakage_modeling.judging.evaluate import evaluate
from grader.leakage_modeling.judging.oracle import Oracle, PlainFitter
from task_kit.leakage_modeling.agents.policies import BOTH_TABLES, CAREFUL, LEAKS, NO_OP, PLAIN, Policy
from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped, Submission
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import World, make_world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from grader.leakage_modeling.judging.verdict import Verdict

LEVELS = (0, 1, 2, 3)
FOREST_WITH_CONSTANT = """
from sklearn.ensemble import RandomForestClassifier
trees = ColumnTransformer([("n", "passthrough", [*numeric, global_mean]), ("c", ordinal, categories)])
pipeline = make_pipeline(trees, RandomForestClassifier(50, random_state=0))
"""


def settings(difficulty: int) -> Settings:
    return Settings(difficulty=difficulty, hidden_rows=1000)


@cache
def world(difficulty: int) -> World:
    return make_world(21, settings(difficulty))


@cache
def verdict_of(policy: Policy, difficulty: int) -> Verdict:
    fitter = PlainFitter(world(difficulty))
    submission = fitter.run(policy)
    return evaluate(world(difficulty), submission, fitter, settings=settings(difficulty), question_seed=1)


def kept(body: str) -> Policy:
    """It is told the names of the leaks, as cheats are."""
    return Policy(name="kept", kind="baseline", says="", body=body, needs="global_mean")


class Saying:
    """Answers a frame with what a function makes of the true probabilities, and counts the frames."""

    def __init__(self, say: Callable[[pd.DataFrame, np.ndarray], np.ndarray], *, difficulty: int = 0) -> None:
        self.say = say
        self.world = world(difficulty)
        self.asked: list[pd.DataFrame] = []

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        assert pipeline == "mine"
        self.asked += frames
        return [self.say(frame, self.world.probability(frame)) for frame in frames]

    def verdict(self, *, submitted: np.ndarray | None = None, question_seed: int = 1) -> Verdict:
        said = self.say(self.world.test, self.world.test_p) if submitted is None else submitted
        submission = Submission(pipeline_name="mine", test_probabilities=said)
        return evaluate(self.world, submission, self, settings=settings(0), question_seed=question_seed)


@pytest.mark.parametrize("difficulty", LEVELS)
def test_the_oracle_passes_with_nothing_to_regret(difficulty: int) -> None:
    oracle = Oracle(world(difficulty))

    found = evaluate(world(difficulty), oracle.submission, oracle, settings=settings(difficulty), question_seed=1)

    assert (found.status, found.reason, found.reward) == ("pass", None, 1.0)
    assert found.scores["regret"] == pytest.approx(0, abs=1e-6)  # nobody is believed to be surer than 1e-6
    assert found.scores["calibration_msd"] == 0
    assert set(found.scores["movement"].values()) == {0.0}


@pytest.mark.parametrize("difficulty", LEVELS)
def test_careful_work_passes_and_no_work_does_not(difficulty: int) -> None:
    assert verdict_of(CAREFUL, difficulty).status == "pass"
    assert verdict_of(NO_OP, difficulty).reason == "score"
    assert verdict_of(NO_OP, difficulty).scores["regret"] == pytest.approx(1)


def test_plain_logistic_regression_is_enough_at_difficulty_0_only() -> None:
    assert [verdict_of(PLAIN, difficulty).reason for difficulty in (0, 2)] == [None, "score"]


@pytest.mark.parametrize("difficulty", [0, 3])
@pytest.mark.parametrize("policy", LEAKS, ids=lambda policy: policy.name)
def test_who_uses_a_leak_fails_and_is_seen_to_use_it(policy: Policy, difficulty: int) -> None:
    found = verdict_of(policy, difficulty)

    assert policy.needs is not None
    column = getattr(world(difficulty).columns, policy.needs)
    assert found.status == "fail"
    assert found.scores["movement"][column] >= 1e-2
    assert f"uses_forbidden:{column}" in {check.name for check in found.checks if not check.passed}


@pytest.mark.parametrize("need", ["global_mean", "category_rate"])
def test_a_leak_that_costs_no_score_is_named_as_the_reason(need: str) -> None:
    policy = next(policy for policy in LEAKS if policy.needs == need)

    assert verdict_of(policy, 1).reason == f"uses_forbidden:{getattr(world(1).columns, need)}"
    assert verdict_of(policy, 1).scores["regret"] < settings(1).regret_limit


@pytest.mark.parametrize("policy", BOTH_TABLES, ids=lambda policy: policy.name)
def test_looking_at_the_test_rows_gains_nothing(policy: Policy) -> None:
    assert policy.beside is not None

    gained = verdict_of(policy.beside, 2).scores["regret"] - verdict_of(policy, 2).scores["regret"]

    assert gained < 0.01


@pytest.mark.parametrize(
    "body",
    [
        "pipeline = make_pipeline(table([*numeric, global_mean], categories), logistic())",
        "pipeline = careful(extra=[global_mean])",
        FOREST_WITH_CONSTANT,
    ],
    ids=["logistic", "careful", "forest"],
)
def test_a_constant_column_that_is_carried_along_is_not_held_against_anybody(body: str) -> None:
    found = verdict_of(kept(body), 0)

    assert found.scores["movement"]["leak_global_target_mean"] <= 1e-9
    assert not [check.name for check in found.checks if check.name.startswith("uses_") and not check.passed]


@pytest.mark.parametrize(
    ("submitted", "said"),
    [
        (np.full(199, 0.5), r"\(199,\)"),
        (np.full((200, 2), 0.5), r"\(200, 2\)"),
        (np.where(np.arange(200) == 3, np.nan, 0.5), "not finite"),
        (np.full(200, 1.01), "between 0 and 1"),
        (np.full(200, -0.01), "between 0 and 1"),
        (np.full(200, "0.5"), "array of numbers"),
        (np.full(200, fill_value=True), "array of numbers"),
    ],
)
def test_a_submission_out_of_form_fails_before_anything_is_fitted(submitted: np.ndarray, said: str) -> None:
    fitter = Saying(lambda _, truth: truth)

    found = fitter.verdict(submitted=submitted)

    assert (found.status, found.reason) == ("fail", "format")
    assert said.replace("\\", "") in found.sentence
    assert fitter.asked == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (PipelineError("pipeline_contract", "it has no predict_proba"), "pipeline_contract"),
        (SandboxStopped("timeout", "it took longer than 60 s"), "timeout"),
    ],
)
def test_a_pipeline_that_cannot_be_asked_fails_with_the_word_of_the_worker(fault: Exception, reason: str) -> None:
    def say(frame: pd.DataFrame, truth: np.ndarray) -> np.ndarray:
        if len(frame) == 1000:
            raise fault
        return truth

    found = Saying(say).verdict()

    assert (found.status, found.reason, found.sentence) == ("fail", reason, str(fault))


def test_a_fault_of_the_machine_is_no_verdict() -> None:
    class Broken(Saying):
        def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
            raise OSError(pipeline, len(frames))

    with pytest.raises(OSError, match="mine"):
        Broken(lambda _, truth: truth).verdict()


@pytest.mark.parametrize(
    "say",
    [
        lambda _, truth: truth[:-1],
        lambda _, truth: np.column_stack([1 - truth, truth]),
        lambda _, truth: truth * 2,
        lambda _, truth: np.where(truth > 0.5, np.nan, truth),
    ],
    ids=["too few", "of two columns", "above 1", "not finite"],
)
def test_predictions_that_are_no_probabilities_break_the_contract(
    say: Callable[[pd.DataFrame, np.ndarray], np.ndarray],
) -> None:
    assert Saying(say).verdict(submitted=world(0).test_p).reason == "pipeline_contract"


@pytest.mark.parametrize("factor", [0.5, 0.55])
def test_who_says_too_little_or_too_much_is_not_calibrated(factor: float) -> None:
    found = Saying(lambda _, truth: expit(factor * logit(truth))).verdict()

    assert found.reason == "calibration"
    assert found.scores["auroc"] == pytest.approx(found.scores["oracle_auroc"])


def test_a_prediction_that_looks_at_the_other_rows_depends_on_the_batch() -> None:
    found = Saying(lambda _, truth: np.clip(truth + 1e-4 * (truth.mean() - 0.5), 0, 1)).verdict()

    assert found.reason == "batch_dependence"


def test_a_prediction_that_ranks_the_rows_of_its_batch_is_not_taken_for_a_leak() -> None:
    found = Saying(lambda _, truth: np.clip(truth + 1e-3 * (np.searchsorted(np.sort(truth), truth) / len(truth)), 0, 1))

    assert found.verdict().reason == "batch_dependence"


def test_a_prediction_that_looks_at_the_place_of_a_row_depends_on_the_batch() -> None:
    found = Saying(lambda _, truth: np.clip(truth + 1e-5 * np.arange(len(truth)) / len(truth), 0, 1)).verdict()

    assert found.reason == "batch_dependence"


def test_a_prediction_that_is_drawn_depends_on_nothing_and_is_not_taken_for_a_leak() -> None:
    draw = np.random.default_rng(1)

    for question_seed in range(5):
        found = Saying(lambda _, truth: np.clip(truth + 1e-4 * draw.standard_normal(len(truth)), 0, 1))
        assert found.verdict(question_seed=question_seed).reason == "batch_dependence"


def test_what_was_submitted_has_to_be_what_the_pipeline_says() -> None:
    honest = Saying(lambda _, truth: truth)

    assert honest.verdict(submitted=np.clip(world(0).test_p + 5e-4, 0, 1)).status == "pass"
    assert honest.verdict(submitted=np.clip(world(0).test_p + 5e-3, 0, 1)).reason == "proba_mismatch"
    assert honest.verdict(submitted=1 - world(0).test_p).reason == "proba_mismatch"


def test_all_checks_are_told_in_order_even_when_one_fails() -> None:
    found = verdict_of(NO_OP, 0)

    forbidden = [f"uses_forbidden:{column}" for column in world(0).leak_columns]
    expected = ["format", "pipeline_contract", "score", "calibration", *forbidden, "batch_dependence", "proba_mismatch"]
    assert [check.name for check in found.checks] == expected
    assert found.only_score_failed


def test_the_first_check_that_fails_is_the_reason() -> None:
    everything = verdict_of(LEAKS[0], 0)

    failed = [check.name for check in everything.checks if not check.passed]
    assert failed[0] == everything.reason == "score"
    assert len(failed) > 2
    assert not everything.only_score_failed


def test_a_verdict_can_be_repeated_to_the_bit() -> None:
    fitter = PlainFitter(world(1))
    submission = fitter.run(CAREFUL)
    first, again = (evaluate(world(1), submission, fitter, settings=settings(1), question_seed=5) for _ in range(2))

    assert first == again


def test_the_legacy_rule_rewards_the_leak_and_says_what_it_is() -> None:
    rule = Settings(difficulty=0, grading="legacy-threshold", hidden_rows=1000)
    fitter = PlainFitter(world(0))
    leak = evaluate(world(0), fitter.run(LEAKS[0]), fitter, settings=rule, question_seed=1)
    honest = PlainFitter(world(0))
    weak = evaluate(world(0), honest.run(NO_OP), honest, settings=rule, question_seed=1)

    assert (leak.status, weak.status, weak.reason) == ("pass", "fail", "score")
    assert "legacy rule" in leak.sentence
    assert "200 leaky rows" in leak.sentence


def test_a_world_without_leaks_can_be_judged() -> None:
    rule = Settings(
        difficulty=0,
        leak_future_signal=False,
        leak_global_target_mean=False,
        leak_cat0_rate_full=False,
        hidden_rows=1000,
    )
    bare = make_world(2, rule)
    fitter = PlainFitter(bare)

    found = evaluate(bare, fitter.run(PLAIN), fitter, settings=rule, question_seed=1)

    assert (found.status, found.scores["movement"]) == ("pass", {})
    assert not LEAKS[0].suits(bare)


@pytest.mark.parametrize("policy", [PLAIN, CAREFUL], ids=lambda policy: policy.name)
def test_a_policy_says_the_same_of_all_frames_at_once(policy: Policy) -> None:
    fitter, joined = PlainFitter(world(3)), PlainFitter(world(3), joined=True)
    frames = [world(3).hidden.head(50), world(3).hidden.iloc[7:8], world(3).test.head(30)]
    fitter.run(policy)
    joined.run(policy)

    apart = [fitted.fit_predict("pipeline", frames=frames) for fitted in (fitter, joined)]

    assert all(np.allclose(one, other, atol=1e-12) for one, other in zip(*apart, strict=True))
