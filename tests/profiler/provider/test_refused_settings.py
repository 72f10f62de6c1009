"""What a model is known to refuse is said beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from profiler.manifest.settings import Experiment
from profiler.provider.refused_settings import refused_settings


def experiment(**settings: Any) -> Experiment:
    usual = {"experiment_id": "e", "model": "claude-haiku-4-5", "max_tokens": 100, "dataset_path": Path("d.json")}
    return Experiment(**{**usual, **settings})


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-7", "claude-haiku-5-5", "claude-sonnet-5", "claude-opus-5-5-20261001", "claude-mythos-preview"],
)
def test_newer_models_refuse_sampling_parameters(model: str) -> None:
    [said] = refused_settings(experiment(model=model, temperature=0.0, top_p=0.5))

    assert said.startswith(f"{model} refuses temperature, top_p (400")


@pytest.mark.parametrize(
    "model", ["claude-haiku-4-5-20251001", "claude-opus-4-6", "claude-3-5-haiku-20241022", "claude-opus-4-20250514"]
)
def test_older_models_take_sampling_parameters_with_the_older_version(model: str) -> None:
    [said] = refused_settings(experiment(model=model, temperature=0.0))

    assert said == "temperature: sent with anthropic-version 2023-06-01, which takes them"


def test_a_thinking_budget_must_fit_into_max_tokens() -> None:
    [said] = refused_settings(experiment(thinking={"type": "enabled", "budget_tokens": 1_024}))

    assert "expected less than max_tokens (100)" in said


def test_nothing_is_said_of_what_every_model_takes() -> None:
    assert list(refused_settings(experiment(model="claude-opus-5", system="Be brief."))) == []
