"""An experiment in the making: layers of settings laid over one another, each value with the place it was written in.

The layers are defaults, the experiment itself, a point of its matrix, and overrides; later ones win. The places serve
the messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from profiler.core.complaint import Complaint
from profiler.core.errors import Problem
from profiler.core.wording import expected
from profiler.manifest.checker import BAD, Checker, annotations_of
from profiler.manifest.settings import MERGED, REQUIRED, SECTIONS, Experiment, Settings

At = tuple[str | int, ...]

# Required keys that are missing get these values, so that the rules can check the rest. Such an experiment never runs.
_STAND_INS: dict[str, Any] = {"experiment_id": "?", "model": "?", "max_tokens": 1, "dataset_path": Path("?")}


class Source(Protocol):
    """What settings were written in: a document, or a variable of the environment."""

    def problem(self, path: At, message: str, *, hint: str | None = None, at_key: bool = False) -> Problem: ...


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Settings from one place. None resets a setting to its default; BAD is a wrong one."""

    source: Source
    at: At
    values: dict[str, Any]


class Draft(msgspec.Struct, kw_only=True):
    """An experiment while layers are laid on it. `origins` has the place of each value."""

    home: tuple[Source, At]
    values: dict[str, Any] = {}
    origins: dict[At, tuple[Source, At]] = {}

    @property
    def name(self) -> str | None:
        """The experiment id; None while it is missing or wrong."""
        name = self.values.get("experiment_id", BAD)
        return None if name is BAD else str(name)

    def lay(self, layer: Layer) -> None:
        for key, value in layer.values.items():
            at = (*layer.at, key)
            if value is None:
                self.values.pop(key, None)
            elif key in MERGED and isinstance(value, dict):
                self._lay_section(key, value, (layer.source, at))
            else:
                self.put(key, value, (layer.source, at))

    def put(self, key: str, value: Any, origin: tuple[Source, At]) -> None:
        self.values[key] = value
        self.origins[(key,)] = origin

    def put_inside(self, section: str, key: str, value: Any, origin: tuple[Source, At]) -> None:
        """Set one key of a section, or reset it with None."""
        before = self.values.get(section)
        if before is BAD or (value is None and not before):
            return
        rest = {name: each for name, each in (before or {}).items() if name != key}
        self.values[section] = rest if value is None else {**rest, key: value}
        self.origins.setdefault((section,), origin)
        self.origins[section, key] = origin

    def copy(self) -> Draft:
        return Draft(home=self.home, values=dict(self.values), origins=dict(self.origins))

    def problem(self, complaint: Complaint) -> Problem:
        source, at = self._origin(complaint.at)
        return source.problem(at, complaint.message, hint=complaint.hint, at_key=complaint.at_key)

    def missing(self) -> list[Problem]:
        source, at = self.home
        known = annotations_of(Settings)
        return [
            source.problem(at, f"found no {name!r}, expected {expected(known[name])}")
            for name in REQUIRED
            if name not in self.values
        ]

    def bad(self) -> set[str]:
        return {key for key, value in self.values.items() if value is BAD or _holds_bad(key, value)}

    def experiment(self, *, written_in: Path | None = None) -> Experiment:
        """The experiment so far, with stand-ins and defaults for what is missing or wrong."""
        bad = self.bad()
        good = {key: _section(key, value) for key, value in self.values.items() if key not in bad}
        return Experiment(**{**_STAND_INS, **good}, written_in=written_in)

    def _lay_section(self, key: str, values: dict[str, Any], origin: tuple[Source, At]) -> None:
        source, at = origin
        section = self.values.get(key)
        # Sections are merged key by key over the layers, and a null puts back the default of its key alone.
        merged = {**(section if isinstance(section, dict) else {}), **values}
        self.put(key, {name: value for name, value in merged.items() if value is not None}, origin)
        for name in values:
            self.origins[(key, name)] = (source, (*at, name))

    def _origin(self, at: At) -> tuple[Source, At]:
        # A value inside of another has no place of its own: the place of the nearest one around it is extended.
        for length in range(len(at), 0, -1):
            if at[:length] in self.origins:
                source, prefix = self.origins[at[:length]]
                return source, prefix + at[length:]
        source, prefix = self.home
        return source, prefix + at


def check_layer(written: dict[str, Any], *, source: Source, at: At, folder: Path) -> tuple[Layer, list[Problem]]:
    checker = Checker(folder=folder)
    values = checker.partial(Settings, written, at)
    return Layer(source=source, at=at, values=values), placed(checker.complaints, source)


def placed(complaints: list[Complaint], source: Source) -> list[Problem]:
    return [source.problem(c.at, c.message, hint=c.hint, at_key=c.at_key) for c in complaints]


def _section(key: str, value: Any) -> Any:
    return SECTIONS[key](**value) if key in SECTIONS else value


def _holds_bad(key: str, value: Any) -> bool:
    return key in SECTIONS and any(item is BAD for item in value.values())
