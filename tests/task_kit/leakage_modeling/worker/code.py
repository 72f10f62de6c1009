"""Code that tests run in a worker."""

from __future__ import annotations

ESTIMATOR = """
from sklearn.base import BaseEstimator, ClassifierMixin

class Own(ClassifierMixin, BaseEstimator):
    classes_ = (0, 1)
    def fit(self, frame, y):
        {fit}
        return self
    def predict_proba(self, frame):
        {predict}
        p = np.full(len(frame), {p})
        return np.column_stack([1 - p, p])

pipeline = Own()
"""


def estimator(*, fit: str = "pass", predict: str = "pass", p: str = "0.5") -> str:
    return ESTIMATOR.format(fit=fit, predict=predict, p=p)
