"""The first reading of the runs: everything that is counted over all items, and which of them are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.results.comparing.metrics_compared import directions
from profiler.results.report.groups import Groups
from profiler.results.report.selection import Selection
from profiler.results.report.side_by_side import rows_of
from profiler.results.report.spread import Spread
from profiler.results.report.timeline import Timeline
from profiler.results.report.verdict import MEASURES, measures_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from profiler.metrics.metric import Better
    from profiler.results.report.privacy import Privacy
    from profiler.storage.reading.item import Item
    from profiler.storage.reading.saved_run import SavedRun


class Counted:
    """The counts over all items of one run."""

    def __init__(self) -> None:
        self.spreads = {name: Spread() for name in MEASURES}
        self.timeline = Timeline()
        self.groups = Groups()
        self.scores: dict[str, None] = {}  # names, in the order of the run

    def add(self, item: Item, measures: Mapping[str, float | None]) -> None:
        """Count an item. It has been cut before (--no-texts, --drop): what is left out is not counted either."""
        self.timeline.add(item.record)
        self.scores.update(dict.fromkeys(item.scores))
        for name, value in measures.items():
            if value is not None:
                self.spreads[name].add(value)

    def as_json(self, *, errors: bool) -> dict[str, Any]:
        return {
            "spreads": {name: spread.as_json() for name, spread in self.spreads.items() if spread.as_json()["n"]},
            "timeline": self.timeline.as_json(),
            "errors": self.groups.errors() if errors else [],
            "refusals": self.groups.refusals(),
        }


class Survey:
    """All that the second reading, which writes the dialogues, needs to know."""

    def __init__(self, runs: Sequence[SavedRun], privacy: Privacy, *, search_path: Path | None, room: int) -> None:
        self.runs = runs
        self.summaries = [run.summary for run in runs]
        self.better = self._directions(search_path)
        self.counted = [Counted() for _ in runs]
        expected = max(summary["counts"]["total"] for summary in self.summaries)
        self.selection = Selection(expected=expected, better=self.better, room=room)
        for row in rows_of(runs, search_path=search_path):
            measures = []
            for item, counted in zip(row, self.counted, strict=True):
                if item is None:
                    continue
                if item.type == "error":
                    counted.groups.error(item)
                elif item.type == "refusal":
                    counted.groups.refusal(item)
                privacy.cut(item)
                measures.append(measures_of(item))
                counted.add(item, measures[-1])
            self.selection.add(row, measures)
        privacy.refuse_unmet()

    def _directions(self, search_path: Path | None) -> dict[str, Better]:
        """Which way each metric of the runs is better, of those that say it."""
        facts = [summary["run"] for summary in self.summaries]
        found, _ = directions(facts, search_path=search_path)
        measured = {name for summary in self.summaries for name in summary["metrics"]}
        return {name: way for name, way in found.items() if name in measured}
