"""Two runs with given scores, and what a comparison of them says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Findings, Question
from tests.profiler.results.comparing.folders import item, write_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from profiler.metrics.metric import Better
    from profiler.results.comparing.comparison import Comparison


HIGHER: dict[str, Better] = {"right": "higher"}


def scored(values: Sequence[Any], metric: str = "right", **fields: Any) -> list[dict[str, Any]]:
    return [item(number, scores={metric: value}, **fields) for number, value in enumerate(values)]


def flags(count: int, true: int) -> list[bool]:
    return [True] * true + [False] * (count - true)


def of(findings: Findings, metric: str, at: int = 0) -> Comparison:
    return next(each for each in findings.against[at].comparisons if each.metric == metric)


def compared(tmp_path: Path, base: Sequence[Any], new: Sequence[Any], **question: Any) -> Findings:
    """Two runs that were scored so, compared."""
    runs = [write_run(tmp_path / name, scored(values)) for name, values in (("base", base), ("new", new))]
    return compare(runs[0], runs[1:], Question(better=HIGHER, **question))
