from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from profiler.core.errors import ManifestError
from profiler.manifest.load import Experiment, load_manifest
from profiler.manifest.schema import manifest_schema

SCHEMA = manifest_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

SINGLE: dict[str, Any] = {
    "experiment_id": "one",
    "model": "claude-haiku-4-5",
    "max_tokens": 16,
    "dataset_path": "dialogues.json",
    "temperature": 0.5,
    "thresholds": {"fact_coverage": 0.5, "refusal_rate": {"max": 0.2}},
    "mock": {"latency_s": {"median_s": 0.1, "stalls": {"a": 3}}, "faults": {"timeout": 0.1}},
    "rate_limits": {"requests_per_minute": 50},
    "retry": {"max_attempts": 2},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
SEVERAL: dict[str, Any] = {
    "defaults": {"model": "claude-haiku-4-5", "max_tokens": 16, "dataset_path": "dialogues.json"},
    "experiments": [
        {"experiment_id": "a", "temperature": None, "mock": None},
        {"experiment_id": "b", "matrix": {"model": ["x", "y"], "temperature": [None, 0, 0.5]}},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "dialogues.json").write_text("[]")
    return folder


def loads(value: Any, folder: Path) -> bool:
    path = folder / "manifest.yaml"
    path.write_text(json.dumps(value))
    try:
        load_manifest(path, environ={})
    except ManifestError:
        return False
    return True


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("value", [SINGLE, SEVERAL])
def test_good_manifests_pass_the_schema_and_the_loader(value: dict[str, Any], folder: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(value)] == []
    assert loads(value, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"experiment_id": ".hidden"},
        {"experiment_id": "a\n"},
        {"experiment_id": "x" * 129},
        {"experiment_id": None},
        {"model": ""},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"temperature": 1.5},
        {"top_k": 0.5},
        {"metrics": ["fact_coverge"]},
        {"metrics": "fact_coverage"},
        {"output_fields": ["dialogue_id", "type", "completio"]},
        {"effort": "huge"},
        {"log_schema_version": 2},
        {"base_url": "ftp://x"},
        {"api_version": "soon"},
        {"client": "nocolon"},
        {"thinking": "yes"},
        {"retry": {"max_attempts": 0}},
        {"retry": {"attempts": 1}},
        {"rate_limits": 5},
        {"mock": {"latency_s": -1}},
        {"mock": {"latency_s": {"sigma": 1}}},
        {"mock": {"latency_s": {"median_s": None}}},
        {"mock": {"faults": {"fire": 0.1}}},
        {"mock": {"faults": {"timeout": 2}}},
        {"thresholds": {"fact_coverage": {"least": 1}}},
        {"thresholds": {"fact_coverage": "high"}},
        {"stop_sequences": [""]},
        {"dataset_path": ""},
        {"matrix": {}},
        {"matrix": {"model": []}},
        {"matrix": {"experiment_id": ["a"]}},
        {"matrix": {"metrics": [["fact_coverage"]]}},
        {"unknown": 1},
    ],
)
def test_what_the_schema_rejects_the_loader_rejects(change: dict[str, Any], folder: Path) -> None:
    value = {**SINGLE, "thresholds": {}, **change}
    assert not VALIDATOR.is_valid(value)
    assert not loads(value, folder)


_KEYS = st.sampled_from([*get_type_hints(Experiment), "matrix", "defaults", "experiments", "typo"])
_SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.5, 1.0, "x", "", "low", "a:b", "..", "type"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["seed", "latency_s", "median_s", "faults", "model", "min", "timeout"]), inner
        )
    ),
    max_leaves=5,
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=2))
def test_no_change_passes_the_loader_that_the_schema_rejects(changes: dict[str, Any], folder: Path) -> None:
    value = {**SINGLE, **changes}
    assume(not VALIDATOR.is_valid(value))
    assert not loads(value, folder)


def test_every_key_is_described() -> None:
    definitions = SCHEMA["$defs"]
    bare = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        if name != "Matrix"
        for key, schema in definition.get("properties", {}).items()
        if "description" not in schema
    ]
    assert bare == []


def test_no_mapping_of_settings_takes_unknown_keys() -> None:
    open_ones = [
        name for name, schema in SCHEMA["$defs"].items() if "properties" in schema and schema["additionalProperties"]
    ]
    assert open_ones == []
