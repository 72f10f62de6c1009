"""The dialogues as columns of numbers: what the table of a report filters and sorts by without reading any text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.results.report.verdict import CHANGES, MEASURES, change, failed, measures_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from profiler.metrics.metric import Better
    from profiler.results.report.side_by_side import Row
    from profiler.storage.reading.item import Item

TYPES: Final = ("answer", "refusal", "truncated", "error")
ABSENT: Final = -1
DECIMALS: Final = {"latency_s": 4, "ttft_s": 4, "gap_p95_s": 4, "tokens_per_s": 2, "cost_usd": 9}


class Columns:
    """A place in every column for each row that is shown."""

    def __init__(self, score_names: Sequence[Sequence[str]], better: Mapping[str, Better]) -> None:
        self.ids: list[str] = []
        self._repeats: list[int] = []
        self._tags: list[int] = []
        self._tag_sets: dict[tuple[str, ...], int] = {}
        self._better = better
        self._runs = [_RunColumns(names, better) for names in score_names]
        self._changes: list[list[int]] = [[] for _ in score_names[1:]]

    def add(self, row: Row, errors: Sequence[int]) -> None:
        """`errors`: the group of the error of each run, `ABSENT` where there is none."""
        some = next(item for item in row if item is not None)
        self.ids.append(some.dialogue_id)
        self._repeats.append(some.repeat)
        tags = tuple(some.request.get("tags") or ())
        self._tags.append(self._tag_sets.setdefault(tags, len(self._tag_sets)))
        for item, error, columns in zip(row, errors, self._runs, strict=True):
            columns.add(item, error)
        for new, column in zip(row[1:], self._changes, strict=True):
            column.append(CHANGES.index(change(row[0], new, self._better)))

    def as_json(self) -> dict[str, Any]:
        return {
            "ids": self.ids,
            "repeats": self._repeats if any(self._repeats) else None,
            "tags": self._tags,
            "tag_sets": list(self._tag_sets),
            "types": TYPES,
            "changes": CHANGES,
            "change": self._changes,
            "runs": [columns.as_json() for columns in self._runs],
        }


class _RunColumns:
    def __init__(self, score_names: Sequence[str], better: Mapping[str, Better]) -> None:
        self._better = better
        self._type: list[int] = []
        self._error: list[int] = []
        self._failed: list[int] = []
        self._measures: dict[str, list[float | None]] = {name: [] for name in (*MEASURES, "attempts")}
        self._scores: dict[str, list[Any]] = {name: [] for name in score_names}

    def add(self, item: Item | None, error: int) -> None:
        if item is None:
            for column in (self._type, self._error):
                column.append(ABSENT)
            self._failed.append(0)
            for values in (*self._measures.values(), *self._scores.values()):
                values.append(None)
            return
        self._type.append(TYPES.index(item.type))
        self._error.append(error)
        self._failed.append(int(failed(item, self._better)))
        measures = measures_of(item)
        for name in MEASURES:
            value = measures[name]
            self._measures[name].append(value if value is None else round(value, DECIMALS.get(name, 6)))
        self._measures["attempts"].append(item.record.get("attempts"))
        for name, scores in self._scores.items():
            score = item.scores.get(name)
            scores.append(round(score, 6) if isinstance(score, float) else score)

    def as_json(self) -> dict[str, Any]:
        measures = {name: column for name, column in self._measures.items() if any(each is not None for each in column)}
        return {
            "type": self._type,
            "error": self._error,
            "failed": self._failed,
            "measures": measures,
            "scores": self._scores,
        }
