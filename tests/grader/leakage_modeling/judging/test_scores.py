from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn import metrics

from grader.leakage_modeling.judging.scores import auroc, brier, distance, ece, excess, log_loss, unfaithfulness


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    truth = expit(2 * draw.standard_normal(3000))
    said = expit(0.8 * logit(truth) + 0.5 * draw.standard_normal(3000)).round(2)
    return (draw.random(3000) < truth).astype(np.int64), truth, said


def test_measures_on_labels_agree_with_scikit_learn(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    target, _, said = rows

    assert auroc(target, said) == pytest.approx(metrics.roc_auc_score(target, said), abs=1e-12)
    assert brier(target, said) == pytest.approx(metrics.brier_score_loss(target, said), abs=1e-12)
    assert log_loss(target, said) == pytest.approx(metrics.log_loss(target, np.clip(said, 1e-6, 1 - 1e-6)), abs=1e-12)


def test_the_excess_is_what_the_log_loss_is_expected_to_lie_above_that_of_the_truth(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    _, truth, said = rows
    sure = np.clip(said, 1e-6, 1 - 1e-6)

    expected = metrics.log_loss(
        np.r_[np.ones(3000), np.zeros(3000)], np.r_[sure, sure], sample_weight=np.r_[truth, 1 - truth]
    )
    own = metrics.log_loss(
        np.r_[np.ones(3000), np.zeros(3000)], np.r_[truth, truth], sample_weight=np.r_[truth, 1 - truth]
    )

    assert excess(truth, said) == pytest.approx(expected - own, abs=1e-12)
    assert excess(truth, truth) == 0
    assert excess(np.array([0.5]), np.array([0.0])) == pytest.approx(6.2, abs=0.1)


def test_distance_is_the_mean_square() -> None:
    assert distance(np.array([0.2, 0.6]), np.array([0.5, 0.2])) == pytest.approx(0.125)


def test_saying_little_is_faithful_and_exaggerating_is_not(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, truth, _ = rows

    assert unfaithfulness(truth, np.full(3000, truth.mean())) < 0.001
    assert unfaithfulness(truth, truth) < 1e-4
    assert unfaithfulness(truth, expit(2 * logit(truth))) > 0.004
    assert unfaithfulness(truth, expit(0.5 * logit(truth))) > 0.004


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    target, said = np.array([1, 1, 0, 1]), np.array([0.95, 0.95, 0.05, 1.0])

    assert ece(target, said) == pytest.approx((abs(3 - 2.9) + 0.05) / 4)


def test_without_both_outcomes_there_is_no_auroc() -> None:
    assert np.isnan(auroc(np.ones(3, dtype=np.int64), np.array([0.1, 0.2, 0.3])))
