"""What is submitted, and the interface between the judge and whoever fits it.

The judge gets a `Fitter`, from which only numbers come back.
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
    """The pipeline broke one of the rules; `reason_code` says which."""

    def __init__(self, reason_code: str, sentence: str) -> None:
        self.reason_code = reason_code
        self.sentence = clean(sentence, most=LONGEST_SENTENCE)
        super().__init__(self.sentence)


StopReason = Literal["timeout", "cpu", "memory", "processes", "file_size", "disk", "output", "exit", "protocol"]


class SandboxStopped(Exception):
    """The worker ended before it answered: a limit, an exit, or a message that is not of the protocol."""

    def __init__(self, reason: StopReason, sentence: str) -> None:
        self.reason = reason
        self.sentence = clean(sentence, most=LONGEST_SENTENCE)
        super().__init__(self.sentence)


class Fitter(Protocol):
    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        """P(y = 1) for the rows of each frame.

        The pipeline is cloned, fitted once on the training rows alone, and has seen no other frame. Raises
        `PipelineError` or `SandboxStopped`; either is the submission's fault.
        """
        ...
