"""What a reduction has counted, as plain values that another one can go on from."""

from __future__ import annotations

from typing import Any

import msgspec

from profiler.core import own_code
from profiler.core.nouns import RecordType
from profiler.metrics.totals import Totals

States = tuple[Any, ...]


class Group(msgspec.Struct, frozen=True):
    """The outcomes that share a tag (or all of them): their number, and one state for each metric."""

    n: int
    states: States


class MetricFault(msgspec.Struct, frozen=True):
    """A metric raised an exception: it has no value, and the others are reported all the same."""

    metric: str
    dialogue_id: str | None
    said: str
    lines: str  # the traceback, as far as it is in files of the user

    @staticmethod
    def of(metric: str, error: BaseException, *, dialogue_id: str | None) -> MetricFault:
        return MetricFault(metric, dialogue_id, own_code.said(error), own_code.their_traceback(error))

    @property
    def reason(self) -> str:
        """One line with the place in the user's file. It is the same in every run, so it may stand in summary.json."""
        where = "" if self.dialogue_id is None else f"at dialogue {self.dialogue_id!r}: "
        return where + self.said

    def __str__(self) -> str:
        lines = f"\n{self.lines}" if self.lines else ""
        return f"metric {self.metric!r} failed and has no value: {self.reason}{lines}"


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reduction holds, for whoever passes it on (`state_json`)."""

    all: Group
    repeats: bool  # whether dialogues are asked several times
    types: dict[RecordType, int]
    errors: dict[str, int]
    errors_beyond: int
    tags: dict[str, Group]
    tags_beyond: Group
    totals: Totals
    faults: tuple[MetricFault, ...]
