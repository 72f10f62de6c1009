"""Checks a submission and gives the verdict.

The checks, in order: format, pipeline_contract, score, calibration, uses_forbidden, batch_dependence, proba_mismatch.
Every number is computed here, from predictions of a pipeline that was fitted again on the training rows alone. Score
and calibration are compared with P(y | x), which the grader knows, instead of with labels: 4,000 labels say far less.
Both are given as a share of what the prevalence alone would reach, so in every world 0 is the oracle and 1 is no skill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grader.leakage_modeling.judging import questions as ask
from grader.leakage_modeling.judging import scores as measure
from grader.leakage_modeling.judging.verdict import Check, Verdict, conclude
from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped
from task_kit.leakage_modeling.worlds.columns import TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from task_kit.leakage_modeling.worker.fitter import Fitter, Submission
    from task_kit.leakage_modeling.worlds.settings import Settings
    from task_kit.leakage_modeling.worlds.world import World

    Answers = Mapping[str, np.ndarray]

STILL = 1e-6  # how far a prediction may move when a forbidden column is overwritten, or when other rows stand around it
SAME = 1e-3  # how far submitted probabilities may lie from those of the refitted pipeline
# A random prediction moves by itself. The farthest of some hundred such moves varies by less than this factor.
UNREST = 3
SEALED = 7  # keeps the random numbers of the questions apart from those of the world


def evaluate(
    world: World,
    submission: Submission,
    fitter: Fitter,
    *,
    settings: Settings,
    question_seed: int,
    asked: ask.Questions | None = None,
) -> Verdict:
    """The verdict. Whatever this raises is the fault of the grader or the machine, never of the submission.

    Labels never enter a worker. The original's test rows reveal theirs, so they are asked about only under the
    original's rule. `asked` are the questions, if they were made already.
    """
    form = check_format(submission.test_probabilities, rows=len(world.test))
    if not form.passed:
        return conclude([form], scores={}, praise="")
    leaky = settings.grading == "legacy-threshold"
    asked = asked or questions_of(world, question_seed, leaky_view=leaky)
    try:
        found = fitter.fit_predict(submission.pipeline_name, frames=asked.asked)
        answers = asked.answers([_probabilities(values, len(frame)) for values, frame in _pairs(found, asked.asked)])
    except (PipelineError, SandboxStopped) as fault:
        return conclude([form, _broken(fault)], scores={}, praise="")
    found_scores = score(world, answers, asked)
    kept = Check(name="pipeline_contract", passed=True, detail="it was cloned, fitted on train alone, and asked")
    if settings.grading == "legacy-threshold":
        return _legacy(found_scores, [form, kept], threshold=settings.threshold)
    checks = [
        form,
        kept,
        _check_score(found_scores, settings),
        _check_calibration(found_scores, settings),
        *_check_forbidden(found_scores["movement"]),
        _check_batch(answers, asked),
        _check_same(answers[ask.TEST], submission.test_probabilities),
    ]
    praise = f"regret {found_scores['regret']:.3f} is within {settings.regret_limit:g}, and nothing forbidden was used"
    return conclude(checks, scores=found_scores, praise=praise)


def questions_of(world: World, question_seed: int, *, leaky_view: bool = False) -> ask.Questions:
    return ask.make_questions(world, np.random.default_rng([question_seed, SEALED]), leaky_view=leaky_view)


def check_format(found: Any, *, rows: int) -> Check:
    """The check that submitted probabilities can be given without asking the pipeline."""
    said = _format_fault(found, rows=rows)
    return Check(name="format", passed=said is None, detail=said or f"{rows} probabilities")


def score(world: World, answers: Answers, asked: ask.Questions) -> dict[str, Any]:
    said, truth = answers[ask.HIDDEN], world.hidden_p
    prevalence = np.full(len(truth), float(world.train[TARGET].mean()))
    nats, unfaithful = measure.excess(truth, said), measure.unfaithfulness(truth, said)
    return {
        "auroc": measure.auroc(world.hidden_target, said),
        "oracle_auroc": measure.auroc(world.hidden_target, truth),
        "regret": nats / measure.excess(truth, prevalence),
        "regret_nats": nats,
        "miscalibration": unfaithful / measure.distance(truth, prevalence),
        "calibration_msd": unfaithful,
        "distance_msd": measure.distance(truth, said),
        "brier": measure.brier(world.hidden_target, said),
        "log_loss": measure.log_loss(world.hidden_target, said),
        "ece": measure.ece(world.hidden_target, said),
        "movement": movement(world, answers, asked),
        "legacy": {
            "auroc": measure.auroc(world.test_target, answers.get(ask.LEGACY, answers[ask.TEST])),
            "rows": len(world.test),
            "leaky": ask.LEGACY in answers,
        },
    }


def movement(world: World, answers: Answers, asked: ask.Questions) -> dict[str, float]:
    """The farthest that any prediction moved, by overwritten column.

    0 if it moves about as far when nothing was changed: then the pipeline is random, which is for another check.
    """
    unrest = UNREST * _moved(asked.kept, answers)
    far = {column: _moved(asked.overwritten[column], answers) for column in world.leak_columns}
    return {column: moved if moved > unrest else 0.0 for column, moved in far.items()}


def _moved(repeated: ask.Repeated, answers: Answers) -> float:
    return _farthest(answers[ask.MIXED][repeated.places], answers[ask.HIDDEN][repeated.rows])


def _check_score(found: Mapping[str, Any], settings: Settings) -> Check:
    regret, limit = found["regret"], settings.regret_limit
    return Check(
        name="score",
        passed=regret <= limit,
        detail=f"regret {regret:.3f}, at most {limit:g} is asked (0: knows P(y|x), 1: knows the prevalence)",
    )


def _check_calibration(found: Mapping[str, Any], settings: Settings) -> Check:
    apart, limit = found["miscalibration"], settings.max_miscalibration
    return Check(
        name="calibration",
        passed=apart <= limit,
        detail=f"rows predicted alike lie {apart:.3f} from their true probability, at most {limit:g} is asked "
        "(mean square, as a share of what the prevalence misses)",
    )


def _check_forbidden(moved: Mapping[str, float]) -> list[Check]:
    return [
        Check(
            name=f"uses_forbidden:{column}",
            passed=far <= STILL,
            detail=f"predictions move by up to {far:.2g} when {column} is overwritten, at most {STILL:g} is allowed",
        )
        for column, far in moved.items()
    ]


def _check_batch(answers: Answers, asked: ask.Questions) -> Check:
    whole = answers[ask.HIDDEN]
    apart = {
        "among other rows": _moved(asked.kept, answers),
        "in reverse": _farthest(answers[ask.REVERSED], whole[: ask.CHUNK][::-1]),
        "alone or in a chunk": max(_farthest(answers[name], whole[rows]) for name, rows in asked.chunks.items()),
    }
    how, far = max(apart.items(), key=lambda item: item[1])
    return Check(
        name="batch_dependence",
        passed=far <= STILL,
        detail=f"the same rows, {how}, are predicted up to {far:.2g} apart, at most {STILL:g} is allowed",
    )


def _check_same(predicted: np.ndarray, submitted: np.ndarray) -> Check:
    far = _farthest(predicted, np.asarray(submitted, dtype=np.float64))
    return Check(
        name="proba_mismatch",
        passed=far <= SAME,
        detail=f"submitted probabilities lie up to {far:.2g} from the refitted pipeline's, at most {SAME:g} is allowed",
    )


def _legacy(found: dict[str, Any], checks: list[Check], *, threshold: float) -> Verdict:
    """The rule of the public original: it rewards the leaks and, on so few rows, luck."""
    reached = found["legacy"]["auroc"]
    detail = (
        f"legacy rule: AUROC {reached:.4f} on {found['legacy']['rows']} leaky rows, at least {threshold:g} is asked"
    )
    return conclude(
        [*checks, Check(name="score", passed=reached >= threshold, detail=detail)], scores=found, praise=detail
    )


def _broken(fault: PipelineError | SandboxStopped) -> Check:
    reason = fault.reason_code if isinstance(fault, PipelineError) else fault.reason
    return Check(name="pipeline_contract", passed=False, detail=fault.sentence, reason=reason)


def _format_fault(found: Any, *, rows: int) -> str | None:
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        return f"found {type(found).__name__}, expected an array of numbers"
    if found.shape != (rows,):
        return (
            f"found probabilities of shape {found.shape}, expected {(rows,)}: one for each row of test_df, in its order"
        )
    return _range_fault(found)


def _range_fault(found: np.ndarray) -> str | None:
    if not np.isfinite(found).all():
        return f"found {int((~np.isfinite(found)).sum())} values that are not finite, expected probabilities"
    if found.min(initial=0) < 0 or found.max(initial=0) > 1:
        return f"found values from {found.min():.3g} to {found.max():.3g}, expected probabilities between 0 and 1"
    return None


def _probabilities(found: np.ndarray, rows: int) -> np.ndarray:
    if fault := _format_fault(found, rows=rows):
        raise PipelineError("pipeline_contract", f"predict_proba: {fault}")
    return found.astype(np.float64)


def _pairs(found: Sequence[np.ndarray], asked: Sequence[Any]) -> list[tuple[np.ndarray, Any]]:
    return list(zip(found, asked, strict=True))


def _farthest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.max(np.abs(one - other), initial=0.0))
