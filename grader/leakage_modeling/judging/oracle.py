"""Fitters that need no box: the oracle, and one that runs policies of our own in this process.

Both answer the same questions as a worker. The oracle fits nothing: it knows the law, so its answers follow from the
features of each row. It is judged like everybody else, which would reveal a limit that nobody can reach. `PlainFitter`
is only for policies of this project; foreign code belongs into a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import scipy
import sklearn
from sklearn.base import clone

from task_kit.leakage_modeling.agents.policies import PIPELINE, PROBABILITIES
from task_kit.leakage_modeling.worker.fitter import PipelineError, Submission
from task_kit.leakage_modeling.worlds.columns import TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from task_kit.leakage_modeling.agents.policies import Policy
    from task_kit.leakage_modeling.worlds.world import World


class Estimator(Protocol):
    def fit(self, features: pd.DataFrame, target: np.ndarray) -> Any: ...
    def predict_proba(self, features: pd.DataFrame) -> np.ndarray: ...


class Oracle:
    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def submission(self) -> Submission:
        return Submission(pipeline_name="oracle", test_probabilities=self._world.test_p)

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        if pipeline != self.submission.pipeline_name:
            raise PipelineError("pipeline_contract", f"found the pipeline {pipeline!r}, expected the oracle's own")
        return [self._world.probability(frame) for frame in frames]


class PlainFitter:
    """Runs and fits a policy of ours in this process.

    With `joined` a pipeline is fitted once and predicts all frames at once, which takes a third of the time. That hides
    a dependence on the batch and on other tables, so it is for policies that are known to have none.
    """

    def __init__(self, world: World, *, joined: bool = False) -> None:
        self._world = world
        self._joined = joined
        self._fitted: Estimator | None = None
        self.variables: dict[str, Any] = {
            "__name__": "policy",
            "train_df": world.train.copy(),
            "test_df": world.test.copy(),
            "pd": pd,
            "np": np,
            "sklearn": sklearn,
            "scipy": scipy,
        }

    def run(self, policy: Policy) -> Submission:
        return self.run_code(policy.code(self._world), name=policy.name)

    def run_code(self, code: str, *, name: str) -> Submission:
        exec(compile(code, name, "exec"), self.variables)  # noqa: S102 (code of our own)
        if not self._joined:
            return Submission(pipeline_name=PIPELINE, test_probabilities=self.variables[PROBABILITIES])
        self._fitted = self._fit(PIPELINE)
        said = np.asarray(self._fitted.predict_proba(self._world.test))[:, 1]
        return Submission(pipeline_name=PIPELINE, test_probabilities=said)

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        model = self._fitted or self._fit(pipeline)
        if self._joined:
            said = np.asarray(model.predict_proba(pd.concat(frames, ignore_index=True)))[:, 1]
            return np.split(said, np.cumsum([len(frame) for frame in frames])[:-1])
        return [np.asarray(model.predict_proba(frame.copy()))[:, 1] for frame in frames]

    def _fit(self, pipeline: str) -> Estimator:
        train = self._world.train
        model: Estimator = clone(self.variables[pipeline])
        model.fit(train.drop(columns=TARGET), train[TARGET].to_numpy())
        return model
