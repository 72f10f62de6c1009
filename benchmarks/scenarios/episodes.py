"""Playing many episodes of scripted agents at once costs little more than the work of their workers.

The same episodes are measured twice: as `grader run` plays them (worlds, prompts, the loop and its client, transcripts,
questions, verdicts, storage), and as the bare calls of their workers, made by as many threads, with worlds and
questions made beforehand. Both start as many boxes (64 with `--runs 5` and more) and run the same code in them; the
start of the warm process is left out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, median, ratios
from benchmarks.process import fresh

if TYPE_CHECKING:
    from benchmarks.figure import Scale


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(64, usual=32, quick=4)
    played, worked = fresh(calling, count=count, runs=scale.few).value
    return [
        median("episodes_by_workers", ratios(played, worked), at_least=0.9, note=f"{count} at once"),
        median("episodes", played, unit="episodes/s"),
        median("workers", worked, unit="episodes/s"),
    ]


def calling(*, count: int, runs: int) -> list[list[float]]:
    found: list[list[float]] = import_module("benchmarks.episodes").both_ways(count=count, runs=runs)
    return found
