"""Whatever bytes or values a manifest holds, it loads or is refused with places."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.core.errors import ManifestError, Problem
from profiler.manifest.load import Experiment
from tests.profiler.manifest.loading import BASE, load

pytestmark = pytest.mark.usefixtures("folder")

SAMPLE = (Path(__file__).parents[3] / "configs/sample_experiment.yaml").read_bytes()
RICH = (
    BASE + "mock: {latency_s: {median_s: 1, stalls: {a: 2}}, faults: {timeout: 0.1}}\n"
    "thresholds: {fact_coverage: {min: 0.1}}\nmatrix: {top_k: [1, 2]}\nretry: &r {max_attempts: 2}\n"
).encode()


_SETTINGS = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
_KEYS = st.sampled_from([*Experiment.__struct_fields__, "matrix", "defaults", "experiments", "seed", "stalls", "<<"])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "a:b", "low"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def only_placed_problems(data: bytes) -> None:
    found = told(data)
    assert all(problem.place.startswith("m.yaml:") for problem in found)


def told(data: bytes) -> tuple[Problem, ...]:
    try:
        load(data)
    except ManifestError as error:
        return error.problems
    return ()


@_SETTINGS
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_places(data: bytes) -> None:
    only_placed_problems(data)


@_SETTINGS
@given(st.sampled_from([SAMPLE, RICH]), st.integers(0, 2**32))
def test_mutated_manifests_load_or_are_refused_with_places(text: bytes, seed: int) -> None:
    only_placed_problems(mutated(text, random.Random(seed)))


@_SETTINGS
@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_random_structures_load_or_are_refused_with_places(value: dict[str, Any]) -> None:
    only_placed_problems(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@_SETTINGS
@given(_KEYS, _VALUES)
def test_one_random_value_in_a_good_manifest_loads_or_is_refused_with_places(key: str, value: Any) -> None:
    good = {"experiment_id": "a", "model": "m", "max_tokens": 1, "dataset_path": "data.json", key: value}
    only_placed_problems(yaml.safe_dump(good, sort_keys=False).encode())


def mutated(text: bytes, rng: random.Random) -> bytes:
    data = bytearray(text)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        data[at : at + rng.randint(0, 4)] = rng.choice(
            [b"", b" ", b"\n", b"&r ", b"*r", b"<<: ", b"{", b"]", b"\xff", b"0"]
        )
        data = data or bytearray(b"x")
    return bytes(data)
