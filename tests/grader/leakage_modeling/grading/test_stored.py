"""`stored`: the same questions get the same numbers, to the bit; others are refused."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from grader.leakage_modeling.grading.stored import Different, RecordingFitter, StoredFitter, load, save
from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped, Submission

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FRAME = pd.DataFrame({"n": [0.1, np.nan], "t": ["a", None]})
SUBMISSION = Submission(pipeline_name="pipe", test_probabilities=np.array([0.1, 1 / 3]))


class Fake:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        if self.error is not None:
            raise self.error
        return [np.linspace(1e-17, 1 / 3, len(frame)) for frame in frames]


def stored(path: Path, fitter: Fake, *frames: pd.DataFrame) -> tuple[Submission | None, StoredFitter]:
    recording = RecordingFitter(fitter)
    with suppress(PipelineError, SandboxStopped):
        recording.fit_predict("pipe", frames=frames)
    save(path / "a", SUBMISSION, kept=recording.kept)
    submission, kept = load(path / "a")
    return submission, StoredFitter(kept)


def test_numbers_come_back_to_the_bit(tmp_path: Path) -> None:
    submission, fitter = stored(tmp_path, Fake(), FRAME, FRAME.iloc[:1])

    assert submission is not None
    assert submission.pipeline_name == "pipe"
    assert submission.test_probabilities.tobytes() == SUBMISSION.test_probabilities.tobytes()
    found = fitter.fit_predict("pipe", frames=[FRAME, FRAME.iloc[:1]])
    assert [one.tobytes() for one in found] == [
        one.tobytes() for one in Fake().fit_predict("pipe", frames=[FRAME, FRAME.iloc[:1]])
    ]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [FRAME, FRAME],
        [FRAME.iloc[::-1]],
        [FRAME.assign(n=[0.1, 0.2])],
        [FRAME.rename(columns={"n": "m"})],
        [FRAME.astype({"n": "float32"})],
    ],
)
def test_another_question_is_refused(tmp_path: Path, frames: list[pd.DataFrame]) -> None:
    _, fitter = stored(tmp_path, Fake(), FRAME)

    with pytest.raises(Different):
        fitter.fit_predict("pipe", frames=frames)


def test_another_pipeline_or_a_second_question_is_refused(tmp_path: Path) -> None:
    _, fitter = stored(tmp_path, Fake(), FRAME)

    with pytest.raises(Different):
        fitter.fit_predict("other", frames=[FRAME])
    with pytest.raises(Different):
        fitter.fit_predict("pipe", frames=[FRAME])


@pytest.mark.parametrize("error", [PipelineError("pipeline_contract", "no"), SandboxStopped("timeout", "late")])
def test_a_fault_is_stored_and_raised_again(tmp_path: Path, error: PipelineError | SandboxStopped) -> None:
    _, fitter = stored(tmp_path, Fake(error), FRAME)

    with pytest.raises(type(error)) as caught:
        fitter.fit_predict("pipe", frames=[FRAME])

    assert vars(caught.value) == vars(error)


def test_an_episode_without_a_submission_is_stored_as_such(tmp_path: Path) -> None:
    save(tmp_path / "a", None, kept=[])

    assert load(tmp_path / "a") == (None, [])
