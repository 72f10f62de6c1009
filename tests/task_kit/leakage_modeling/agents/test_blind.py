"""`blind`: these policies look at rows and names and never at the dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn

from task_kit.leakage_modeling.agents.blind import BLIND_POLICIES, FEATURES, Blind, learnt
from task_kit.leakage_modeling.agents.policies import CAREFUL, HURRIED
from task_kit.leakage_modeling.worlds.dictionary import told_text
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import World, make_world

POLICIES = [*BLIND_POLICIES, learnt({"name:calls": 1.0, "tells": -0.5})]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(4, Settings(hidden_rows=1000))


def left_by(code: str, world: World) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "train_df": world.train.copy(),
        "test_df": world.test.copy(),
        "pd": pd,
        "np": np,
        "sklearn": sklearn,
        "scipy": scipy,
    }
    exec(code, variables)
    return variables


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_it_leaves_a_pipeline_and_probabilities_and_drops_what_it_says(policy: Blind, world: World) -> None:
    left = left_by(policy.code(luck=3), world)

    assert np.shape(left["test_proba"]) == (200,)
    strong, dropped = left["strong"], left["dropped"]
    assert len(strong) == 7
    if policy.name in ("drops_what_changes", "keeps_the_weaker_three", "tosses_coins", "learnt_from_other_worlds"):
        assert len(dropped) == 4
        assert set(dropped) < set(strong)


def test_it_is_the_same_code_in_every_world() -> None:
    assert all(policy.code(luck=1) == policy.code(luck=1) for policy in POLICIES)
    assert "lateness" in FEATURES


def test_the_careful_policy_follows_from_what_is_told_and_from_nothing_else(world: World) -> None:
    assert CAREFUL.code(world) == CAREFUL.written(told_text(world))


def test_the_hurried_policy_has_luck_of_its_own(world: World) -> None:
    codes = {HURRIED.code(world, luck=str(luck)) for luck in range(10)}

    assert len(codes) > 5
    assert HURRIED.code(world, luck="a") == HURRIED.code(world, luck="a")
