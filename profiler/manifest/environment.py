"""Settings from the environment, such as `PROFILER_MAX_TOKENS=512` or `PROFILER_RETRY__MAX_ATTEMPTS=2`.

They override every experiment. A setting that is a text is taken literally, every other value is read as YAML. An empty
variable counts as unset.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import ManifestError, Problem
from profiler.core.wording import did_you_mean
from profiler.manifest import yaml_reader
from profiler.manifest.checker import annotations_of, is_text
from profiler.manifest.draft import At, Layer, check_layer
from profiler.manifest.settings import SECTIONS, Settings
from profiler.manifest.source import open_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "PROFILER_"

# Variables that are not settings of an experiment. Any other PROFILER_ name that is not a setting is an error.
RESERVED_ENVIRONMENT = frozenset({"PROFILER_MODE", "PROFILER_BROKER_TOKEN", "PROFILER_LOCKS"})


class Variable(msgspec.Struct, frozen=True):
    """A variable of the environment, for messages that say where a wrong setting comes from."""

    name: str

    def problem(self, path: At, message: str, *, hint: str | None = None, at_key: bool = False) -> Problem:
        return Problem(path=f"environment:{self.name}", message=message, hint=hint)


@cache
def names() -> dict[str, tuple[str, ...]]:
    """Every variable that is a setting, and which. Looking through the types takes longer than reading a manifest."""
    found: dict[str, tuple[str, ...]] = {}
    for field in annotations_of(Settings):
        found[f"{PREFIX}{field.upper()}"] = (field,)
        for inner in annotations_of(SECTIONS[field]) if field in SECTIONS else ():
            found[f"{PREFIX}{field.upper()}__{inner.upper()}"] = (field, inner)
    # One variable for all experiments would give them all the same name, and so the same run directory.
    del found["PROFILER_EXPERIMENT_ID"]
    return found


def read_overrides(environ: Mapping[str, str], *, folder: Path) -> tuple[list[Layer], list[Problem]]:
    layers: list[Layer] = []
    problems: list[Problem] = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in RESERVED_ENVIRONMENT and environ[name]:
            layer, found = _override(name, environ[name], folder=folder)
            layers += layer
            problems += found
    return layers, problems


def _override(name: str, text: str, *, folder: Path) -> tuple[list[Layer], list[Problem]]:
    if name not in names():
        return [], [_unknown(name)]
    try:
        value = _value(text, names()[name], name=name)
    except ManifestError as error:
        return [], [Variable(name).problem((), problem.message) for problem in error.problems]
    # wraps the value in its keys, from the inside: 2 becomes {"retry": {"max_attempts": 2}}
    for key in reversed(names()[name]):
        value = {key: value}
    layer, problems = check_layer(value, source=Variable(name), at=(), folder=folder)
    return [layer], problems


def _unknown(name: str) -> Problem:
    if name in {"PROFILER_EXPERIMENT_ID", "PROFILER_MATRIX"}:
        message = "found an override of what names the experiments, expected it in the manifest only"
        return Variable(name).problem((), message)
    close = did_you_mean(name, names()) or did_you_mean(name, RESERVED_ENVIRONMENT)
    hint = close or f"{PREFIX}<KEY> overrides a key of a manifest"
    return Variable(name).problem((), "found an unknown variable, expected the key of an experiment", hint=hint)


def _value(text: str, path: tuple[str, ...], *, name: str) -> Any:
    # the bytes as the system gave them, so that a wrong encoding is reported like that of a file
    data = text.encode("utf-8", "surrogateescape")
    kind = annotations_of(Settings)[path[0]]
    if len(path) > 1:
        kind = annotations_of(SECTIONS[path[0]])[path[1]]
    if is_text(kind):
        return open_document(data, name=name).text
    document = yaml_reader.read(data, name=name)
    if document.problems:
        raise ManifestError(document.problems)
    return document.value
