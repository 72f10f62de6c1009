"""Stores what an episode's verdict rests on (the submission and the predictions of its pipeline), and answers from it.

A `StoredFitter` gives the same numbers to the same questions, and refuses others.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped, Submission
from task_kit.leakage_modeling.worker.frames import Frames
from task_kit.leakage_modeling.worker.parcel import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from task_kit.leakage_modeling.worker.fitter import Fitter


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a fit gave no predictions."""

    kind: str  # pipeline | stopped
    reason: str
    sentence: str

    def error(self) -> Exception:
        if self.kind == "pipeline":
            return PipelineError(self.reason, self.sentence)
        return SandboxStopped(self.reason, self.sentence)  # type: ignore[arg-type] # it was one when it was stored


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a fitter; the predictions are stored beside it."""

    pipeline: str
    frames: tuple[str, ...]  # a hash of each frame that was asked about
    fault: Fault | None = None


class Index(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The header of the file."""

    pipeline: str | None
    fits: tuple[Fit, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    fit: Fit
    found: tuple[np.ndarray, ...] = ()


class Different(Exception):
    """A question that was not asked when the episode was graded."""


class RecordingFitter:
    """Passes questions to another fitter, and keeps its answers."""

    def __init__(self, fitter: Fitter) -> None:
        self.kept: list[Answered] = []
        self._fitter = fitter

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        frames = Frames(frames)
        asked = identities(frames)
        try:
            found = self._fitter.fit_predict(pipeline, frames=frames)
        except PipelineError as error:
            self._keep_fault(pipeline, asked, Fault(kind="pipeline", reason=error.reason_code, sentence=error.sentence))
            raise
        except SandboxStopped as error:
            self._keep_fault(pipeline, asked, Fault(kind="stopped", reason=error.reason, sentence=error.sentence))
            raise
        self.kept.append(Answered(Fit(pipeline=pipeline, frames=asked), tuple(found)))
        return found

    def _keep_fault(self, pipeline: str, asked: tuple[str, ...], fault: Fault) -> None:
        self.kept.append(Answered(Fit(pipeline=pipeline, frames=asked, fault=fault)))


class StoredFitter:
    """Gives the stored answers to the same questions in the same order."""

    def __init__(self, kept: Sequence[Answered]) -> None:
        self._rest = iter(kept)

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        answered = next(self._rest, None)
        asked = identities(Frames(frames))
        if answered is None or (answered.fit.pipeline, answered.fit.frames) != (pipeline, asked):
            raise Different(f"{pipeline}: the grader asks for {len(asked)} frames that were not asked for, or not then")
        if answered.fit.fault is not None:
            raise answered.fit.fault.error()
        return [found.copy() for found in answered.found]


def identities(frames: Frames) -> tuple[str, ...]:
    """A hash of each frame: equal for equal names, types and values."""
    return tuple(_digest(shape, blobs) for shape, blobs in frames.flat)


def _digest(shape: dict[str, Any], blobs: list[bytes]) -> str:
    digest = sha256(msgspec.json.encode(shape))
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest()


def save(path: Path, submission: Submission | None, *, kept: Sequence[Answered]) -> None:
    index = Index(
        pipeline=None if submission is None else submission.pipeline_name, fits=tuple(one.fit for one in kept)
    )
    numbers = [] if submission is None else [submission.test_probabilities]
    numbers += [found for one in kept for found in one.found]
    header: dict[str, Any] = msgspec.to_builtins(index)
    path.write_bytes(pack(header, [np.ascontiguousarray(one, dtype="<f8").tobytes() for one in numbers]))


def load(path: Path) -> tuple[Submission | None, list[Answered]]:
    header, blobs = unpack(path.read_bytes())
    index = msgspec.convert(header, Index)
    numbers = (np.frombuffer(blob, dtype="<f8").copy() for blob in blobs)
    submission = None
    if index.pipeline is not None:
        submission = Submission(pipeline_name=index.pipeline, test_probabilities=next(numbers))
    return submission, [_answered(fit, numbers) for fit in index.fits]


def _answered(fit: Fit, numbers: Iterator[np.ndarray]) -> Answered:
    return Answered(fit, () if fit.fault is not None else tuple(next(numbers) for _ in fit.frames))
