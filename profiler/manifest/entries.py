"""Turns a manifest file into one draft for every experiment that it describes.

A file holds one experiment, or `defaults` and a list of `experiments`, each with or without a `matrix`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.wording import did_you_mean, found, nearest
from profiler.manifest import matrix
from profiler.manifest.checker import annotations_of
from profiler.manifest.draft import At, Draft, Layer, check_layer
from profiler.manifest.environment import read_overrides
from profiler.manifest.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.core.errors import Problem
    from profiler.manifest.source import Document


TOP_KEYS = frozenset({"defaults", "experiments", "max_cost_usd"})


class Defaults(msgspec.Struct, kw_only=True):
    """What `defaults` gives to every experiment."""

    layers: list[Layer] = []
    axes: matrix.Axes = {}


class Forms:
    """Reads one document and collects its problems on the way."""

    def __init__(self, document: Document, *, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.problems: list[Problem] = list(document.problems)
        self.max_cost_usd: float | None = None  # the one beside `experiments`, which holds for all of them together

    def drafts(self, environ: Mapping[str, str]) -> list[Draft]:
        # Relative paths in variables start at the working directory, those in the manifest at the manifest.
        overrides, problems = read_overrides(environ, folder=Path.cwd())
        self.problems += problems
        top = self.document.value
        if not isinstance(top, dict):
            what = "an empty file" if top is None else found(top)
            self._complain((), f"found {what}, expected an experiment, or 'defaults' and 'experiments'")
            return []
        if "experiments" in top or "defaults" in top:
            return self._several(top, overrides)
        if mistyped := _mistyped(top, ("experiments", "defaults")):
            for key, meant in mistyped.items():
                self._complain((key,), f"found the unknown key {key!r}", hint=f"did you mean {meant!r}?", at_key=True)
            return []
        return self._entry(top, (), Defaults(), overrides)

    def _several(self, top: dict[str, Any], overrides: list[Layer]) -> list[Draft]:
        self._check_top(top)
        self._read_cap(top)
        defaults = self._defaults(top.get("defaults"))
        entries = top.get("experiments")
        if not isinstance(entries, list) or not entries:
            at = ("experiments",) if "experiments" in top else ()
            self._complain(at, f"found {_listing(top)}, expected 'experiments' with a list of at least one")
            return []
        drafts: list[Draft] = []
        for i, entry in enumerate(entries):
            drafts += self._listed(
                entry, ("experiments", i), defaults, overrides, room=matrix.MAX_EXPERIMENTS - len(drafts)
            )
        return drafts

    def _check_top(self, top: dict[str, Any]) -> None:
        for key in top.keys() - TOP_KEYS:
            hint = did_you_mean(key, sorted(TOP_KEYS))
            if key in annotations_of(Settings):
                hint = "put it under defaults, or into each experiment"
            self._complain((key,), f"found the unknown key {key!r} beside 'experiments'", hint=hint, at_key=True)

    def _read_cap(self, top: dict[str, Any]) -> None:
        """Read `max_cost_usd` beside `experiments`; it is checked like that of an experiment."""
        if top.get("max_cost_usd") is not None:
            layer, problems = check_layer(
                {"max_cost_usd": top["max_cost_usd"]}, source=self.document, at=(), folder=self.folder
            )
            self.problems += problems
            self.max_cost_usd = layer.values.get("max_cost_usd")

    def _defaults(self, written: Any) -> Defaults:
        if written is None:
            return Defaults()
        if not isinstance(written, dict):
            self._complain(("defaults",), f"found {found(written)}, expected a mapping of settings")
            return Defaults()
        if "experiment_id" in written:
            self._complain(("defaults", "experiment_id"), "found an id in the defaults, expected it in each experiment")
        layer, axes = self._layer(written, ("defaults",))
        layer.values.pop("experiment_id", None)
        return Defaults(layers=[layer], axes=axes)

    def _listed(self, entry: Any, at: At, defaults: Defaults, overrides: list[Layer], *, room: int) -> list[Draft]:
        if not isinstance(entry, dict):
            self._complain(at, f"found {found(entry)}, expected the mapping of an experiment")
            return []
        return self._entry(entry, at, defaults, overrides, room=room)

    def _entry(
        self,
        written: dict[str, Any],
        at: At,
        defaults: Defaults,
        overrides: list[Layer],
        *,
        room: int = matrix.MAX_EXPERIMENTS,
    ) -> list[Draft]:
        own, own_axes = self._layer(written, at)
        draft = Draft(home=(self.document, at))
        for layer in (*defaults.layers, own, *overrides):
            draft.lay(layer)
        axes = _axes(defaults.axes, own_axes, written)
        self._check_overridden(axes, overrides)
        if matrix.size(axes) > room:
            limit = matrix.MAX_EXPERIMENTS
            self._complain(
                at, f"found more than {limit:,} experiments with those of this entry, expected at most {limit:,}"
            )
            return []
        return matrix.expand(draft, axes)

    def _layer(self, written: dict[str, Any], at: At) -> tuple[Layer, matrix.Axes]:
        mistyped = _mistyped(written, ("matrix",))
        for key in mistyped:
            self._complain((*at, key), f"found the unknown key {key!r}", hint="did you mean 'matrix'?", at_key=True)
        settings = {key: value for key, value in written.items() if key != "matrix" and key not in mistyped}
        layer, problems = check_layer(settings, source=self.document, at=at, folder=self.folder)
        self.problems += problems
        if written.get("matrix") is None:
            return layer, {}
        place = (*at, "matrix")
        axes, problems = matrix.read_matrix(written["matrix"], source=self.document, at=place, folder=self.folder)
        self.problems += problems
        for key in [key for key in axes if matrix.sets(settings, key)]:
            self._complain((*place, key), f"found {key!r} in the matrix and beside it, expected one", at_key=True)
        return layer, axes

    def _check_overridden(self, axes: matrix.Axes, overrides: list[Layer]) -> None:
        for layer in overrides:
            for key in [key for key in axes if matrix.sets(layer.values, key)]:
                message = f"found an override of {key!r}, which a matrix varies, expected a key with one value"
                self.problems.append(layer.source.problem((key,), message))

    def _complain(self, at: At, message: str, *, hint: str | None = None, at_key: bool = False) -> None:
        self.problems.append(self.document.problem(at, message, hint=hint, at_key=at_key))


def _mistyped(written: dict[str, Any], meant: tuple[str, ...]) -> dict[str, str]:
    """The unknown keys that are nearer to one of these names than to any setting, and which name that is."""
    settings = annotations_of(Settings)
    unknown = (key for key in written if key not in settings and key not in {*TOP_KEYS, "matrix"})
    guesses = {key: nearest(key, [*settings, *meant]) for key in unknown}
    return {key: name for key, name in guesses.items() if name in meant}


def _axes(inherited: matrix.Axes, own: matrix.Axes, written: dict[str, Any]) -> matrix.Axes:
    """The axes of an experiment.

    Its own matrix wins over that of the defaults, and a plain value over an inherited axis.
    """
    if "matrix" in written and written["matrix"] is None:
        return {}
    kept = {key: points for key, points in inherited.items() if not matrix.sets(written, key)}
    return {**kept, **own}


def _listing(top: dict[str, Any]) -> str:
    return found(top["experiments"]) if "experiments" in top else "no experiments"
