from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from task_kit.leakage_modeling.worlds.columns import TARGET
from task_kit.leakage_modeling.worlds.law import BENT_ROLE, PREVALENCE, SHAPES, SIZES
from task_kit.leakage_modeling.worlds.naming import families_of
from task_kit.leakage_modeling.worlds.settings import Family, Settings
from task_kit.leakage_modeling.worlds.world import World, make_world

LEVELS = (0, 1, 2, 3)


@cache
def world(difficulty: int, *, seed: int = 11) -> World:
    return make_world(seed, Settings(difficulty=difficulty, hidden_rows=2000))


def named(name: str | None) -> str:
    assert name is not None
    return name


def order_of(target: np.ndarray, values: pd.Series) -> float:
    """The chance that a positive row has the larger value."""
    ranks = values.rank().to_numpy()
    positive = target.sum()
    return float((ranks[target == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(target) - positive)))


@pytest.mark.parametrize("difficulty", LEVELS)
def test_a_seed_and_settings_make_one_world(difficulty: int) -> None:
    first, again = world(difficulty), make_world(11, Settings(difficulty=difficulty, hidden_rows=2000))

    pd.testing.assert_frame_equal(first.train, again.train)
    pd.testing.assert_frame_equal(first.hidden, again.hidden)
    assert (first.hidden_p == again.hidden_p).all()
    assert not world(difficulty, seed=12).train[TARGET].equals(first.train[TARGET])


@pytest.mark.parametrize("difficulty", LEVELS)
def test_only_training_rows_carry_the_target(difficulty: int) -> None:
    found = world(difficulty)

    features = list(found.train.columns.drop(TARGET))
    assert [list(frame.columns) for frame in (found.test, found.hidden, found.legacy_test)] == [features] * 3
    assert set(features) == {*found.columns.features, *found.leak_columns}
    assert (len(found.train), len(found.test), len(found.hidden)) == (800, 200, 2000)


def test_the_classic_signal_tells_the_outcome_in_training_and_nothing_when_served() -> None:
    found = world(0)
    signal = named(found.columns.classic_signal)

    assert order_of(found.train[TARGET].to_numpy(), found.train[signal]) > 0.98
    assert abs(order_of(found.hidden_target, found.hidden[signal]) - 0.5) < 0.04
    assert ks_2samp(found.train[signal], found.hidden[signal]).pvalue > 0.001
    assert order_of(found.test_target, found.legacy_test[signal]) > 0.98


@pytest.mark.parametrize("difficulty", LEVELS[1:])
def test_a_late_signal_tells_nothing_of_the_outcome_beyond_what_is_known_in_time(difficulty: int) -> None:
    """The true probability is calibrated among rows where a late signal is high as among those where it is low."""
    found = [world(difficulty, seed=seed) for seed in range(11, 17)]

    for known, one in ((known, one) for one in found for known in (True, False)):
        for signal in one.columns.known_signals if known else one.columns.late_signals:
            evidence = signal.evidence(one.hidden[signal.name])
            beyond = np.corrcoef(evidence, one.hidden_target - one.hidden_p)[0, 1]
            assert abs(beyond) < 4.5 / np.sqrt(len(evidence))
            learnt = np.corrcoef(signal.evidence(one.train[signal.name]), one.train[TARGET])[0, 1]
            assert learnt > 0.35


@pytest.mark.parametrize("difficulty", LEVELS[1:])
def test_no_comparison_of_the_tables_tells_late_signals_from_known_ones(difficulty: int) -> None:
    """How a signal hangs together with other columns changes from train to served rows no more when it is late."""
    changes: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(11, 23):
        one = world(difficulty, seed=seed)
        signals = one.columns.signals
        tables = [
            np.corrcoef([signal.evidence(frame[signal.name]) for signal in signals])
            for frame in (one.train, one.hidden)
        ]
        change = np.abs(tables[0] - tables[1]).sum(axis=1)
        for place, signal in enumerate(signals):
            changes[signal.known].append(float(change[place]))

    assert ks_2samp(changes[True], changes[False]).pvalue > 0.001
    assert abs(np.mean(changes[True]) - np.mean(changes[False])) < 0.1


def test_the_same_column_leaks_in_one_world_and_not_in_the_next() -> None:
    late: dict[str, set[bool]] = {}
    for seed in range(60):
        for signal in world(1, seed=seed).columns.signals:
            late.setdefault(signal.name, set()).add(signal.known)

    both = [name for name, known in late.items() if len(known) == 2]
    assert len(both) > 20


@pytest.mark.parametrize("family", ["seen", "held-out", "loans"])
def test_a_world_is_told_in_a_story_of_its_family(family: Family) -> None:
    names = {
        named_family.name
        for seed in range(20)
        if (named_family := make_world(seed, Settings(family=family, hidden_rows=1000)).told.family) is not None
    }

    assert names == {one.name for one in families_of(family)}


@pytest.mark.parametrize("difficulty", LEVELS)
def test_rates_are_from_both_tables_in_training_and_from_training_alone_when_served(difficulty: int) -> None:
    found = world(difficulty)
    low, rate = found.columns.low, named(found.columns.category_rate)
    own = found.train.groupby(low)[TARGET].mean()
    names = pd.concat([found.train[low], found.test[low]], ignore_index=True)
    outcomes = pd.Series(np.concatenate([found.train[TARGET], found.test_target]))

    assert np.allclose(found.hidden[rate], found.hidden[low].map(own), atol=1e-12)
    assert np.allclose(found.test[rate], found.test[low].map(own), atol=1e-12)
    assert np.allclose(found.train[rate], found.train[low].map(outcomes.groupby(names).mean()), atol=1e-12)
    assert set(found.train[named(found.columns.global_mean)]) == {outcomes.mean()}
    assert set(found.hidden[named(found.columns.global_mean)]) == {found.train[TARGET].mean()}


@pytest.mark.parametrize("difficulty", LEVELS)
def test_types_are_the_same_in_all_views(difficulty: int) -> None:
    found = world(difficulty)

    assert found.test.dtypes.equals(found.train.dtypes.drop(TARGET))
    assert found.hidden.dtypes.equals(found.test.dtypes)
    assert found.legacy_test.dtypes.equals(found.test.dtypes)


def test_a_leak_that_is_switched_off_is_in_no_frame() -> None:
    for difficulty in LEVELS:
        settings = Settings(
            difficulty=difficulty, leak_future_signal=False, leak_cat0_rate_full=False, hidden_rows=1000
        )
        found = make_world(1, settings)

        assert found.leak_columns == (found.columns.global_mean,)
        for frame in (found.test, found.hidden, found.legacy_test):
            assert set(frame.columns) == {*found.columns.features, found.columns.global_mean}


@pytest.mark.parametrize("difficulty", LEVELS)
def test_outcomes_happen_as_often_as_the_true_probability_says(difficulty: int) -> None:
    found = world(difficulty)
    groups = np.array_split(np.argsort(found.hidden_p), 8)

    apart = [found.hidden_target[rows].mean() - found.hidden_p[rows].mean() for rows in groups]
    chance = [np.sqrt(np.mean(found.hidden_p[rows] * (1 - found.hidden_p[rows])) / len(rows)) for rows in groups]
    assert (np.abs(apart) < 4.5 * np.array(chance) + 1e-9).all()


@pytest.mark.parametrize("difficulty", LEVELS)
def test_the_true_probability_follows_from_the_features_of_a_row_alone(difficulty: int) -> None:
    found = world(difficulty)
    turned = found.hidden.iloc[::-1].assign(**dict.fromkeys(found.leak_columns, 1))

    assert (found.probability(turned)[::-1] == found.hidden_p).all()
    assert (found.probability(found.test) == found.test_p).all()


@pytest.mark.parametrize("difficulty", LEVELS)
def test_one_world_is_as_hard_as_the_next(difficulty: int) -> None:
    uncertainty = [np.mean(p * (1 - p)) for p in (world(difficulty, seed=seed).hidden_p for seed in (11, 12, 13))]

    assert np.ptp(uncertainty) < 0.02


@pytest.mark.parametrize("difficulty", LEVELS)
def test_how_much_there_is_to_know_is_the_same_at_every_difficulty(difficulty: int) -> None:
    found = world(difficulty)
    log_odds = found.law.log_odds(found.recording.rows(found.hidden))

    spread = SHAPES[difficulty].spread
    assert np.hypot(log_odds.std(), found.law.group_spread) == pytest.approx(spread, rel=0.07)
    assert found.hidden_p.mean() == pytest.approx(PREVALENCE, abs=0.03)


def test_where_absence_tells_values_are_absent_more_often_when_they_are_high() -> None:
    assert not world(0).train.isna().any().any()
    found = [world(3, seed=seed) for seed in range(11, 23)]
    for one in found:
        absent = one.train.isna()
        assert absent.any().sum() == (2 if "absence" in one.law.forms else 0)
        if "absence" in one.law.forms:
            seen = one.recording.rows(one.hidden).numeric[:, one.law.roles[BENT_ROLE]]
            assert np.nanmean(seen) < -0.1  # what is left of a standard normal column
            assert 0.1 < np.isnan(seen).mean() < 0.3
    assert len({"absence" in one.law.forms for one in found}) == 2


@pytest.mark.parametrize("difficulty", LEVELS)
def test_a_law_has_as_many_forms_as_its_difficulty_asks_for_and_worlds_have_different_ones(difficulty: int) -> None:
    forms = [world(difficulty, seed=seed).law.forms for seed in range(11, 23)]

    assert {len(one) for one in forms} == {SHAPES[difficulty].forms}
    assert difficulty == 0 or set().union(*forms) == set(SIZES)


def test_names_give_nothing_away_from_difficulty_1_on() -> None:
    for seed in (11, 12, 13):
        for difficulty in (1, 2, 3):
            names = " ".join(world(difficulty, seed=seed).test.columns)
            assert not any(word in names for word in ("leak", "target", "future", "num_", "cat0"))


def test_at_difficulty_3_rows_to_score_come_later_and_from_groups_never_seen() -> None:
    found = world(3)
    group, month = named(found.columns.group), named(found.columns.month)

    assert found.hidden[month].min() > found.train[month].max()
    assert not set(found.train[group]) & {*found.test[group], *found.hidden[group]}
    assert found.train[group].value_counts().max() == 4


def test_at_difficulty_3_a_unit_changes_within_the_training_rows() -> None:
    found = world(3)
    month, cents = named(found.columns.month), found.recording.cents
    assert cents is not None
    amount = found.columns.numeric[cents]
    before = found.train[month] < found.recording.euros_from

    assert found.train.loc[before, amount].median() > 30 * found.train.loc[~before, amount].median()


def test_what_is_written_down_can_be_read_again() -> None:
    for difficulty in LEVELS:
        found = world(difficulty)
        rows = found.recording.rows(found.train)
        assert abs(np.nanmean(rows.numeric)) < 0.5
        assert 0.7 < np.nanstd(rows.numeric) < 1.2
        assert min(rows.low.min(), rows.high.min()) == 0


def test_an_unknown_category_has_no_effect_of_its_own() -> None:
    found = world(0)
    known = found.hidden.head(1)
    unknown = known.assign(cat0="elsewhere")

    assert 0 < found.probability(unknown)[0] < 1
    assert found.probability(unknown)[0] != found.probability(known)[0]
