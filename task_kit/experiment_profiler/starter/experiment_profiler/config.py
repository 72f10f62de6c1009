"""Reads a manifest, the YAML file that describes one experiment: what to ask, which model, and what to keep.

`ExperimentConfig.from_yaml` returns it with absolute paths, or raises a `ConfigError` that names every problem at once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tools.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS_KEPT: Final = ("dialogue_id", "completion", "type")
FIELDS: Final = (*ALWAYS_KEPT, "index", "stop_reason", "usage", "latency_s", "model")
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class ConfigError(Exception):
    """The manifest is not fit to be run; the message names every problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentConfig:
    """One experiment, as its manifest describes it."""

    experiment_id: str
    model: str
    max_tokens: int
    temperature: float
    dataset_path: Path
    log_schema_version: int
    output_fields: tuple[str, ...]
    metrics: tuple[str, ...]
    responses_path: Path

    @classmethod
    def from_yaml(cls, path: str | Path) -> ExperimentConfig:
        path = Path(path).resolve()
        found = _checked(_load(path), path)
        return cls(
            experiment_id=found["experiment_id"],
            model=found["model"],
            max_tokens=found["max_tokens"],
            temperature=float(found["temperature"]),
            dataset_path=_beside(path, found["dataset_path"]),
            log_schema_version=found["log_schema_version"],
            output_fields=tuple(found["output_fields"]),
            metrics=tuple(found["metrics"]),
            responses_path=_beside(path, found["mock"]["responses_path"]),
        )


def _load(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: found a file that is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: found {type(found).__name__}, expected the keys of an experiment")
    return found


def _checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    problems = [
        f"{path}: {key}: found {found.get(key)!r}, expected {expected}"
        for key, (expected, holds) in _EXPECTED.items()
        if not holds(found.get(key))
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def _beside(path: Path, written: str) -> Path:
    """Resolve a path of the manifest: it is relative to the manifest, wherever the command is started."""
    return (path.parent / written).resolve()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_temperature(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _is_list_of(known: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(item in known for item in value)


def _is_fields(value: Any) -> bool:
    return _is_list_of(FIELDS)(value) and set(ALWAYS_KEPT).issubset(value)


def _is_mock(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("responses_path"))


_EXPECTED: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "experiment_id": ("letters, digits, and . _ - within", _is_name),
    "model": ("the name of a model", _is_text),
    "max_tokens": ("a whole number above 0", _is_count),
    "temperature": ("a number of at least 0", _is_temperature),
    "dataset_path": ("the path of a dataset", _is_text),
    "log_schema_version": ("a whole number above 0", _is_count),
    "output_fields": (f"a list with {', '.join(ALWAYS_KEPT)}, and others of {', '.join(FIELDS)}", _is_fields),
    "metrics": (f"a list of {', '.join(METRICS)}", _is_list_of(METRICS)),
    "mock": ("responses_path with the path of the prepared answers", _is_mock),
}
