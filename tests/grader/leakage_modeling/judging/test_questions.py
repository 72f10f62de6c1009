"""What a pipeline is asked, in which order, and what no frame gives away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from grader.leakage_modeling.judging.evaluate import evaluate
from grader.leakage_modeling.judging.oracle import PlainFitter
from task_kit.leakage_modeling.agents.policies import LEAKS
from task_kit.leakage_modeling.worker.fitter import Submission
from task_kit.leakage_modeling.worlds.settings import Settings
from tests.grader.leakage_modeling.judging.test_evaluate import Saying, settings, world

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from task_kit.leakage_modeling.worlds.settings import Grading


def test_the_order_of_the_frames_comes_from_the_sealed_seed() -> None:
    first, again, other = (Saying(lambda _, truth: truth) for _ in range(3))
    first.verdict(question_seed=1)
    again.verdict(question_seed=1)
    other.verdict(question_seed=2)

    sizes = [[len(frame) for frame in fitter.asked] for fitter in (first, again, other)]
    assert sizes[0] == sizes[1] != sizes[2]
    assert sorted(sizes[0]) == sorted(sizes[2])


def test_no_frame_holds_a_row_twice_so_none_tells_what_a_row_was_before_it_was_overwritten() -> None:
    fitter = Saying(lambda _, truth: truth)
    fitter.verdict()
    honest = list(world(0).columns.features)

    assert all(not frame.duplicated(subset=honest).any() for frame in fitter.asked)


class Remembering:
    """The nearest that a cheat could come in one process: it answers a row as it did when it first saw its honest part.
    Each frame has a memory of its own, as each is predicted in a box of its own."""

    def __init__(self, *, difficulty: int) -> None:
        self.world = world(difficulty)
        self.plain = PlainFitter(self.world)
        self.submission = self.plain.run(LEAKS[0])

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        said = self.plain.fit_predict(pipeline, frames=frames)
        honest = list(self.world.columns.features)
        return [self.first(frame[honest], values) for frame, values in zip(frames, said, strict=True)]

    def first(self, rows: pd.DataFrame, values: np.ndarray) -> np.ndarray:
        seen: dict[tuple[object, ...], float] = {}
        keys = list(rows.itertuples(index=False, name=None))
        return np.array([seen.setdefault(key, float(value)) for key, value in zip(keys, values, strict=True)])


@pytest.mark.parametrize("difficulty", [0, 1])
def test_a_pipeline_that_answers_from_a_table_is_seen_to_use_a_forbidden_column(difficulty: int) -> None:
    cheat = Remembering(difficulty=difficulty)

    found = evaluate(world(difficulty), cheat.submission, cheat, settings=settings(difficulty), question_seed=1)

    column = world(difficulty).columns.future_signal
    assert f"uses_forbidden:{column}" in {check.name for check in found.checks if not check.passed}


def test_no_frame_that_is_asked_carries_the_outcome() -> None:
    fitter = Saying(lambda _, truth: truth)
    fitter.verdict()

    assert {tuple(frame.columns) for frame in fitter.asked} == {tuple(world(0).test.columns)}
    assert all(list(frame.index) == list(range(len(frame))) for frame in fitter.asked)


def test_rows_that_tell_their_labels_are_asked_about_under_the_rule_of_the_original_only() -> None:
    leaky = world(0).legacy_test[list(world(0).leak_columns)].to_numpy()

    def tells(grading: Grading) -> bool:
        fitter = Saying(lambda _, truth: truth)
        submission = Submission(pipeline_name="mine", test_probabilities=world(0).test_p)
        evaluate(world(0), submission, fitter, settings=Settings(difficulty=0, grading=grading), question_seed=1)
        frames = [frame for frame in fitter.asked if len(frame) == len(leaky)]
        return any(np.array_equal(frame[list(world(0).leak_columns)].to_numpy(), leaky) for frame in frames)

    assert tells("legacy-threshold")
    assert not tells("regret")
