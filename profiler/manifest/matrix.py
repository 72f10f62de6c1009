"""Expands a `matrix`: one experiment with lists of values becomes many, each with one value of every list.

An axis is a key that holds one value, `thinking`, or a key inside of a section, such as `mock.seed` or `request.service_tier`.

They are named `id-value1-value2`, in the order of the file, the last axis varying fastest.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.wording import did_you_mean, found
from profiler.manifest.checker import BAD, Checker, annotations_of, is_scalar
from profiler.manifest.draft import At, Draft, Source, placed
from profiler.manifest.settings import MERGED, SECTIONS, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.core.errors import Problem

MAX_EXPERIMENTS = 100_000
MAX_LABEL = 48
MAPPINGS = ("thinking",)  # keys that hold a mapping and may be varied as a whole


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value of an axis: what it sets, its name in the id, and where it was written."""

    value: Any
    label: str
    origin: tuple[Source, At]


Axes = dict[str, list[Point]]


def read_matrix(written: Any, *, source: Source, at: At, folder: Path) -> tuple[Axes, list[Problem]]:
    checker = Checker(folder=folder)
    if not isinstance(written, dict) or not written:
        checker.complain(at, f"found {found(written)}, expected a mapping of keys to lists, such as model: [a, b]")
        return {}, placed(checker.complaints, source)
    axes = {}
    for key, values in written.items():
        points = _points(checker, key, values, source=source, at=(*at, key))
        if points:
            axes[key] = points
    return axes, placed(checker.complaints, source)


def size(axes: Axes) -> int:
    return math.prod(len(points) for points in axes.values())


def sets(settings: dict[str, Any], key: str) -> bool:
    """Whether these settings already give a value for the key of an axis."""
    section, _, inner = key.partition(".")
    if not inner:
        return key in settings
    return isinstance(settings.get(section), dict) and inner in settings[section]


def expand(draft: Draft, axes: Axes) -> list[Draft]:
    if not axes:
        return [draft]
    expanded = [_drafted(draft, dict(zip(axes, points, strict=True))) for points in itertools.product(*axes.values())]
    _number_equal_names(expanded)
    return expanded


def _drafted(draft: Draft, points: dict[str, Point]) -> Draft:
    expanded = draft.copy()
    for key, point in points.items():
        section, _, inner = key.partition(".")
        if inner:
            expanded.put_inside(section, inner, point.value, point.origin)
        elif point.value is None:
            # null in an axis: this experiment gets the default
            expanded.values.pop(key, None)
        else:
            expanded.put(key, point.value, point.origin)
    if "experiment_id" in draft.values:
        expanded.values["experiment_id"] = _name(draft.values["experiment_id"], list(points.values()))
    return expanded


def _number_equal_names(drafts: list[Draft]) -> None:
    """`a-b` with `c` and `a` with `b-c` would have one name."""
    taken: set[str] = set()
    for draft in drafts:
        base, number = draft.name, 1
        while draft.name is not None and draft.name in taken:
            number += 1
            draft.values["experiment_id"] = f"{base}.{number}"
        taken.add(draft.name or "")


def _name(base: Any, points: list[Point]) -> Any:
    wrong = base is BAD or any(point.value is BAD for point in points)
    return BAD if wrong else "-".join([base, *(point.label for point in points)])


def _points(checker: Checker, key: str, values: Any, *, source: Source, at: At) -> list[Point]:
    annotation = _annotation(key)
    if annotation is None:
        _complain_of_key(checker, key, at)
        return []
    if not isinstance(values, list) or not values:
        wrong = checker.complain(at, f"found {found(values)}, expected a list of at least one value")
        return [Point(value=wrong, label="?", origin=(source, at))]
    checked = [checker.setting(value, annotation, (*at, i)) for i, value in enumerate(values)]
    _complain_of_repeats(checker, values, checked, at)
    labels = _labels(values)
    return [Point(value=value, label=labels[i], origin=(source, (*at, i))) for i, value in enumerate(checked)]


def varied() -> dict[str, Any]:
    """The keys of a matrix with their annotations; besides them, `request.` and any key."""
    whole = annotations_of(Settings)
    kinds = {
        key: kind for key, kind in whole.items() if (is_scalar(kind) or key in MAPPINGS) and key != "experiment_id"
    }
    inside = {
        f"{name}.{key}": kind for name, section in SECTIONS.items() for key, kind in annotations_of(section).items()
    }
    return kinds | inside


def _annotation(key: str) -> Any:
    section, _, inner = key.partition(".")
    if section in MERGED and section not in SECTIONS:
        return Any if inner and "." not in inner else None
    return varied().get(key)


def _complain_of_key(checker: Checker, key: str, at: At) -> None:
    section, _, inner = key.partition(".")
    if section in MERGED and section not in SECTIONS and "." in inner:
        whole, _, deeper = inner.partition(".")
        hint = f"vary {section}.{whole} as a whole: [{{{deeper}: …}}, {{{deeper}: …}}]"
        checker.complain(at, f"found {key!r}, a key inside of a key of {section}", hint=hint, at_key=True)
        return
    keys = list(varied())
    alone = [each for each in keys if "." not in each]
    hint = did_you_mean(key, keys) or f"a matrix may vary {', '.join(alone)}, mock.KEY and request.KEY"
    checker.complain(at, f"found {key!r}, expected a key that holds one value", hint=hint, at_key=True)


def _complain_of_repeats(checker: Checker, values: list[Any], checked: list[Any], at: At) -> None:
    """Complain of equal values in an axis. They are compared as the key converts them: a temperature of 0 and one of 0.0 are
    the same experiment, which would be paid for twice."""
    for i, value in enumerate(checked):
        # 1, 1.0 and true are equal in Python, but three values where they are sent as they stand
        if value is not BAD and any(type(value) is type(earlier) and value == earlier for earlier in checked[:i]):
            checker.complain((*at, i), f"found {found(values[i])} a second time, expected each value once")


def _labels(values: list[Any]) -> list[str]:
    """Values in a form that is safe in an id, numbered where two would be the same."""
    labels = [_safe(value) for value in values]
    return [f"{label}.{i}" if labels.count(label) > 1 else label for i, label in enumerate(labels, 1)]


def _safe(value: Any) -> str:
    text = "null" if value is None else _in_words(value)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text[:MAX_LABEL]).strip("-.") or "value"


def _in_words(value: Any) -> str:
    """A value as part of an id: a mapping by its values (`enabled-2048`), a file by its name."""
    match value:
        case {"file": str(path)} if len(value) == 1:
            return PurePath(path).stem
        case dict():
            return "-".join(_named(key, each) for key, each in value.items())
        case list():
            return "-".join(map(_in_words, value))
        case _:
            return str(value)


def _named(key: str, value: Any) -> str:
    return {True: key, False: f"no-{key}"}[value] if isinstance(value, bool) else _in_words(value)
