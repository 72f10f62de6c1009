"""Items as rows of a table, for programs that read tables: one column a value, the same columns in every row.

Metadata has a column a key (`metadata.level`), scores one a metric (`scores.exact_match`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean
from profiler.results.values import (
    ERROR,
    METADATA,
    RECORD,
    REFUSAL,
    REQUEST,
    TEXTS,
    TOKENS,
    holds_text,
    metadata_key,
    score_names,
    value_of,
)
from profiler.storage.reading.frozen_run import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from profiler.storage.reading.item import Item
    from profiler.storage.reading.saved_run import SavedRun

SCORES: Final = "scores."
LISTS: Final = ("replies", "required_facts", "expected", "tags", "tool_calls")
SOMETIMES: Final = (  # columns that are there only where some item has a value
    *("repeat", "ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s", "held_s", "between_s", "at_s"),
    *("tool_calls", "reused_from", "reused_cost_usd", "maybe_usd", "api_version"),
    *("cache_creation_input_tokens", "cache_read_input_tokens", "thinking_tokens", "expected", *REFUSAL),
)
MOST_METADATA: Final = 1_000
WHOLE: Final = ("repeat", "index", "attempts", "max_tokens", "error.status", *TOKENS)


def usual_type(name: str) -> type:
    """What the values of this column are in runs that have some: a table of a run without any has the same columns."""
    if name.startswith(SCORES):
        return float
    if name in LISTS:
        return list
    if name in WHOLE:
        return int
    if name == "expect_refusal":
        return bool
    number = name == "temperature" or (name.endswith(("_s", "_usd")) and not name.startswith(METADATA))
    return float if number else str


class Columns:
    """The columns of a run's table: which there are is known after one look at all items."""

    def __init__(self, run: SavedRun, *, texts: bool, drop: Sequence[str], search_path: Path | None) -> None:
        self._run = frozen(run)
        self._search_path = search_path
        scores = score_names(self._run, search_path=search_path)
        metadata: dict[str, str] = {}
        missing = {name: value_of(name, scores=()) for name in SOMETIMES}
        for item in self._items():
            for name in [name for name, value in missing.items() if value(item) is not None]:
                del missing[name]
            for key in item.request.get("metadata") or ():
                if len(metadata) < MOST_METADATA:
                    metadata[f"{METADATA}{key}"] = key
        named = ["dialogue_id", *TEXTS, *RECORD, *REFUSAL, *ERROR, *REQUEST, *TOKENS]
        named = [name for name in dict.fromkeys(named) if name not in missing]
        self._value: dict[str, Callable[[Item], Any]] = {name: value_of(name, scores=()) for name in named}
        self._value |= {f"{SCORES}{name}": value_of(name, scores=scores) for name in scores}
        self._value |= {name: metadata_key(key) for name, key in metadata.items()}
        if not texts:
            self._value = {name: value for name, value in self._value.items() if not holds_text(name)}
        for name in drop:
            if name not in self._value:
                raise UsageError(f"--drop {name}: there is no such column", hint=did_you_mean(name, self._value))
            del self._value[name]

    @property
    def names(self) -> list[str]:
        return list(self._value)

    def rows(self) -> Iterator[list[Any]]:
        values = list(self._value.values())
        for item in self._items():
            yield [value(item) for value in values]

    def _items(self) -> Iterator[Item]:
        return self._run.items(search_path=self._search_path)
