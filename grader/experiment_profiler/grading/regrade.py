"""Grades again what a stored result says was graded, and lists the differences.

With the same submission and versions there are none. Timings are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.experiment_profiler.grading.grade import Asked, Grading
from grader.experiment_profiler.grading.stored import StoredResultError

if TYPE_CHECKING:
    from grader.experiment_profiler.judging.verdict import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    result: Result
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def regrade(stored: dict[str, Any], *, submission: Path | None = None) -> Regraded:
    """Grade again. `submission` None takes the folder that the result names."""
    try:
        asked = Asked(**stored["asked"])
        folder = submission or Path(stored["submission"]["path"])
    except (KeyError, TypeError) as error:
        raise StoredResultError(f"found a result that does not say what was asked: {error!r}") from error
    result = Grading(asked).run(folder)
    again = result.as_dict(timings=False)
    before = {name: value for name, value in stored.items() if name != "timings"}
    if submission is not None:  # the path may differ; the hash is still compared
        again["submission"] = {**again["submission"], "path": before["submission"].get("path")}
    return Regraded(result=result, differences=tuple(_differences(before, again)))


def _differences(before: dict[str, Any], again: dict[str, Any]) -> list[str]:
    keys = list(dict.fromkeys([*before, *again]))
    return [
        f"{key}: {_value(before, key)} before, {_value(again, key)} now" for key in keys if _differ(before, again, key)
    ]


def _differ(before: dict[str, Any], again: dict[str, Any], key: str) -> bool:
    return key not in before or key not in again or before[key] != again[key]


def _value(values: dict[str, Any], key: str) -> str:
    text = repr(values.get(key))
    return text if len(text) <= 100 else f"{text[:100]}…"
