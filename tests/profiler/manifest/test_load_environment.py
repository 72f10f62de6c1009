"""Settings of a manifest that come from environment variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.manifest.environment import RESERVED_ENVIRONMENT, names
from profiler.manifest.load import load_manifest
from tests.profiler.manifest.loading import BASE, DEFAULTS, load, one, problem

pytestmark = pytest.mark.usefixtures("folder")


def test_a_variable_overrides_every_experiment() -> None:
    text = DEFAULTS + "experiments: [{experiment_id: a}, {experiment_id: b, max_tokens: 3}]\n"
    assert [e.max_tokens for e in load(text, PROFILER_MAX_TOKENS="7").experiments] == [7, 7]


def test_a_double_underscore_reaches_into_a_section() -> None:
    experiment = one(BASE + "retry: {deadline_s: 5}\n", PROFILER_RETRY__MAX_ATTEMPTS="9")
    assert (experiment.retry.max_attempts, experiment.retry.deadline_s) == (9, 5.0)


def test_text_from_the_environment_is_taken_as_it_stands() -> None:
    assert one(BASE, PROFILER_SYSTEM="no: [1").system == "no: [1"


def test_lists_from_the_environment_are_yaml() -> None:
    assert one(BASE, PROFILER_METRICS="[refusal_rate]").metrics == ("refusal_rate",)


def test_an_empty_variable_counts_as_unset() -> None:
    assert one(BASE, PROFILER_MODEL="").model == "claude-haiku-4-5"


def test_a_dataset_from_the_environment_is_relative_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "m.yaml").write_text(BASE)
    (folder / "here").mkdir()
    (folder / "here/other.json").write_text("[]")
    monkeypatch.chdir(folder / "here")
    [experiment] = load_manifest("../m.yaml", environ={"PROFILER_DATASET_PATH": "other.json"}).experiments
    assert experiment.dataset_path == folder / "here/other.json"
    missing = problem(BASE, PROFILER_DATASET_PATH="x.json")
    assert missing.hint is not None
    assert missing.hint.endswith("and one from a variable at the current folder")


@pytest.mark.parametrize("name", sorted(RESERVED_ENVIRONMENT))
def test_reserved_variables_are_left_to_the_command_line(name: str) -> None:
    assert one(BASE, **{name: "x"}).experiment_id == "one"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PROFILER_MODLE", "x", "unknown variable"),
        ("PROFILER_EXPERIMENT_ID", "x", "in the manifest only"),
        ("PROFILER_MATRIX", "{}", "in the manifest only"),
        ("PROFILER_MAX_TOKENS", "many", "found 'many' (a string), expected a whole number ≥ 1"),
        ("PROFILER_MAX_TOKENS", "[", "not YAML"),
        ("PROFILER_MODEL", "\udcff", "expected text in UTF-8"),
        ("PROFILER_RETRY__TRIES", "3", "unknown variable"),
        ("PROFILER_OUTPUT_DIR", "x", "unknown variable"),
        ("PROFILER_LOG_LEVEL", "x", "unknown variable"),
    ],
)
def test_a_wrong_variable_is_placed_at_its_name(name: str, value: str, words: str) -> None:
    found = problem(BASE, **{name: value})
    assert found.place == f"environment:{name}"
    assert words in found.message


def test_a_misspelt_variable_is_told_the_right_one() -> None:
    assert problem(BASE, PROFILER_MODLE="x").hint == "did you mean 'PROFILER_MODEL'?"


def test_an_override_of_what_a_matrix_varies_is_refused() -> None:
    assert "which a matrix varies" in problem(BASE + "matrix: {top_k: [1, 2]}\n", PROFILER_TOP_K="3").message


def test_the_environment_of_the_process_is_used_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.yaml").write_text(BASE)
    monkeypatch.setitem(os.environ, "PROFILER_TOP_K", "5")
    assert load_manifest("m.yaml").experiments[0].top_k == 5


def test_no_variable_is_both_a_setting_and_reserved() -> None:
    assert RESERVED_ENVIRONMENT.isdisjoint(names())
