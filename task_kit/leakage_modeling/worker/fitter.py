"""What is judged, and who fits it: the words between the judge and the worker.

Knows neither of them: the judge gets a `Fitter`, and only numbers come back from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from task_kit.leakage_modeling.worker.plain_text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

LONGEST_SENTENCE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The name of a pipeline in the worker, and the probabilities for the test rows."""

    pipeline_name: str
    test_probabilities: np.ndarray


class PipelineError(Exception):
    """The pipeline does not do what a pipeline has to; `reason_code` says which of the rules it broke."""

    def __init__(self, reason_code: str, sentence: str) -> None:
        self.reason_code = reason_code
        self.sentence = clean(sentence, most=LONGEST_SENTENCE)
        super().__init__(self.sentence)


StopReason = Literal["timeout", "cpu", "memory", "processes", "file_size", "disk", "output", "exit", "protocol"]


class SandboxStopped(Exception):
    """The worker ended before it answered: a limit, an exit, or words that were not of the protocol."""

    def __init__(self, reason: StopReason, sentence: str) -> None:
        self.reason = reason
        self.sentence = clean(sentence, most=LONGEST_SENTENCE)
        super().__init__(self.sentence)


class Fitter(Protocol):
    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        """P(y = 1) for the rows of each frame, by a clone of the pipeline that was fitted once, on the train rows alone,
        and that has seen no other frame.

        Raises `PipelineError` or `SandboxStopped`; both are the submission's doing.
        """
        ...
