"""Grades the episodes of a stored run again, from its sealed seed and the stored predictions.

No worker and no model is needed: the world is made again, the same questions are asked, and stored numbers answer them.
Each result must come out the same, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from grader.leakage_modeling.grading.folder import ARTEFACTS
from grader.leakage_modeling.grading.stored import Different, StoredFitter, load
from grader.leakage_modeling.judging.evaluate import evaluate
from task_kit.leakage_modeling.worker.parcel import BadParcel
from task_kit.leakage_modeling.worlds.world import make_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.leakage_modeling.grading.folder import EpisodeResult, RunFolder
    from grader.leakage_modeling.judging.verdict import Verdict
    from task_kit.leakage_modeling.worlds.settings import Settings

WITHOUT_SUBMISSION = ("no_submission", "context_full", "bad_output")
VERDICT = ("status", "reason", "sentence", "reward", "reward_valid", "only_score_failed", "checks", "scores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    """`differs` says what came out differently, None if nothing. `judged` is False when there was nothing to judge."""

    stored: EpisodeResult
    differs: str | None
    judged: bool = True


def regrade(folder: RunFolder) -> Iterator[Regraded]:
    settings = folder.run().settings
    for name in folder.names():
        yield regrade_one(folder, name, settings=settings)


def regrade_one(folder: RunFolder, name: str, *, settings: Settings) -> Regraded:
    stored = folder.result(name)
    try:
        verdict = _verdict(folder, stored, settings=settings)
    except (Different, BadParcel, msgspec.ValidationError, OSError) as error:
        return Regraded(stored=stored, differs=f"{type(error).__name__}: {error}")
    if verdict is None:
        return Regraded(stored=stored, differs=_unjudged(stored), judged=False)
    return Regraded(stored=stored, differs=_difference(stored, verdict))


def _verdict(folder: RunFolder, stored: EpisodeResult, *, settings: Settings) -> Verdict | None:
    """None if nothing was submitted, or if the episode did not come to its end."""
    path = folder.episode(stored.episode) / ARTEFACTS
    if not path.exists() or stored.status == "error":
        return None
    submission, kept = load(path)
    if submission is None:
        return None
    seed = int(stored.seed, 16)
    world = make_world(seed, settings)
    return evaluate(world, submission, StoredFitter(kept), settings=settings, question_seed=seed)


def _unjudged(stored: EpisodeResult) -> str | None:
    if stored.status == "error" or (stored.status == "fail" and stored.reason in WITHOUT_SUBMISSION):
        return None
    return f"the result says {stored.status}, but no submission was stored"


def _difference(stored: EpisodeResult, verdict: Verdict) -> str | None:
    """The first part of the verdict whose bytes differ."""
    again = {
        **{name: getattr(verdict, name) for name in ("status", "reason", "sentence", "reward", "only_score_failed")},
        "reward_valid": verdict.status != "error",
        "checks": msgspec.to_builtins(verdict.checks),
        "scores": verdict.scores,
    }
    for name in VERDICT:
        was, comes = msgspec.json.encode(getattr(stored, name)), msgspec.json.encode(again[name])
        if was != comes:
            return f"{name}: stored {was.decode()[:200]}, found {comes.decode()[:200]}"
    return None
