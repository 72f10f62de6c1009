"""What a comparison is asked (`Question`) and all that it finds (`Findings`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from profiler.metrics.metric import Better
    from profiler.results.comparing.comparison import Comparison
    from profiler.results.comparing.gate import Gate
    from profiler.results.comparing.pairing import Pairing
    from profiler.results.comparing.slices import Slice
    from profiler.results.comparing.which_run import Cheapest, Dominated


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """How to compare. Margins are by metric: how much is called equivalent, and how much worse is not let pass."""

    margins: Mapping[str, float] = {}
    fail_if_worse: Mapping[str, float] = {}
    better: Mapping[str, Better] = {}
    cluster_by: str | None = None
    allow_different_prompts: bool = False
    search_path: Path | None = None


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as it is named everywhere below. `kept` says of an unfinished one how much of it there is."""

    name: str
    folder: str
    mode: str
    model: str | None
    complete: bool
    dialogues: int
    kept: str | None = None


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """BASE and one other run."""

    new: Side
    pairing: Pairing
    comparisons: list[Comparison]
    slices: list[Slice]
    warnings: list[str]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """`family`: how many comparisons the p-values are corrected for."""

    base: Side
    against: list[Against]
    family: int
    cluster_by: str | None
    not_compared: list[str]
    cheapest: list[Cheapest]
    dominated: list[Dominated]
    gates: list[Gate]
    state: Literal["ok", "worse", "undecided"]
