"""One run as columns of numbers, a place for each dialogue of the run that it is compared with.

Several answers to one dialogue become their mean. A place without a number holds NaN.
"""

from __future__ import annotations

from array import array
from math import isnan, nan
from operator import eq
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from profiler.core.errors import UsageError
from profiler.results.comparing.dialogue_ids import DialogueIds
from profiler.results.comparing.run_lines import batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from profiler.results.comparing.run_lines import Asked, Batch
    from profiler.storage.saved_run import SavedRun

    Numbers = array[float]

COMPLETION: Final = "completion_rate"
KNOWN_OTHERWISE: Final = (COMPLETION, "refusal_rate")  # by the type of the answer
ERRORS: Final = "error_rate"
REFUSALS: Final = "refusal_rate"
REFUSED: Final = {None: 0, False: 1, True: 2}
NO_FACTS: Final = (b"null", b"[]")
NOTHING: Final = frozenset({type(None)})
TRUE_FALSE: Final = NOTHING | {bool}
NAMED: Final = 1_000  # so many ids are kept of what is told with ids


class MeasuredRun:
    """`measures`: a column for each score, and for errors, refusals, latency, cost and tokens. `true_false`: those of
    them whose every value is true or false, with one answer a dialogue."""

    def __init__(self, run: SavedRun, *, base: MeasuredRun | None = None) -> None:
        self.run = run
        self.ids: DialogueIds = DialogueIds() if base is None else base.ids
        self.measures: dict[str, Numbers] = {}
        self.answers = array("H")
        self.questions = array("I")
        self.judged_by = array("I")
        self.extra: list[str] = []
        self.extra_count = 0
        self.tags = array("I")
        self.tag_sets: dict[tuple[str, ...], int] = {}
        self.clusters = array("I")
        self._cluster_numbers: dict[str, int] = {}
        self.requires_facts = False
        self._mixed: set[str] = set()
        self._counts: dict[str, array[int]] = {}
        self._is_base = base is None
        self._next = 0

    @property
    def true_false(self) -> frozenset[str]:
        repeated = max(self.answers, default=0) > 1
        return frozenset() if repeated else frozenset(self.measures.keys() - self._mixed)

    def within_bounds(self, metric: str) -> bool:
        """Whether each score is from 0 to 1; NaN is neither below nor above."""
        scores = self.measures[metric]
        return not (any(map((0.0).__gt__, scores)) or any(map((1.0).__lt__, scores)))

    # --- reading ------------------------------------------------------------------------------------------------

    def read(self, *, cluster_by: str | None = None, search_path: Path | None = None) -> MeasuredRun:
        if not self._is_base:
            self._extend(len(self.ids))
        for batch in batches(self.run, clusters=cluster_by is not None, search_path=search_path):
            places = self._take_places(batch.ids)
            self._take_questions(batch.asked, places, cluster_by)
            for name, column in _columns_of(batch).items():
                self._take(name, column, places)
            self._count(places)
        self.ids.forget_places()
        return self

    def _count(self, places: Sequence[int]) -> None:
        if isinstance(places, range):
            self.answers[places.start : places.stop] = array("H", [1]) * len(places)
            return
        for place in places:
            if place >= 0:
                self.answers[place] += 1

    def _take_places(self, ids: list[str]) -> Sequence[int]:
        """Where each item goes; -1 where the other run has no such dialogue."""
        if self._is_base:
            return self._new_places(ids)
        start = self._next
        if self.ids.go_on_with(ids, start):
            self._next += len(ids)
            return range(start, self._next)
        return [self._place_of(each) for each in ids]

    def _new_places(self, ids: list[str]) -> Sequence[int]:
        start, last = len(self.ids), self.ids.last
        if not _repeated(ids) and last != ids[0]:
            self.ids.add(ids)
            self._extend(len(self.ids))
            return range(start, len(self.ids))
        fresh, places = [], []
        for each in ids:
            if each != last:
                fresh.append(each)
                last = each
            places.append(start + len(fresh) - 1)
        self.ids.add(fresh)
        self._extend(len(self.ids))
        return places

    def _place_of(self, dialogue_id: str) -> int:
        found = self.ids.place_of(dialogue_id)
        if found >= 0:
            self._next = found + 1
        elif self.extra[-1:] != [dialogue_id]:
            self.extra_count += 1
            if len(self.extra) < NAMED:
                self.extra.append(dialogue_id)
        return found

    def _extend(self, size: int) -> None:
        more = size - len(self.answers)
        for column in self.measures.values():
            column.extend(array("d", [nan]) * more)
        counts = [self.answers, self.questions, self.judged_by, *self._counts.values()]
        for numbers in [*counts, self.tags, self.clusters] if self._is_base else counts:
            numbers.extend(array(numbers.typecode, [0]) * more)

    # --- columns ------------------------------------------------------------------------------------------------

    def _take_questions(self, asked: list[Asked], places: Sequence[int], cluster_by: str | None) -> None:
        _put(self.questions, places, [crc32(line.prompt) for line in asked])
        _put(
            self.judged_by,
            places,
            [crc32(line.required_facts, crc32(line.expected, REFUSED[line.expect_refusal])) for line in asked],
        )
        self.requires_facts = self.requires_facts or any(bytes(line.required_facts) not in NO_FACTS for line in asked)
        if not self._is_base:
            return
        numbers = self.tag_sets
        _put(self.tags, places, [numbers.setdefault(line.tags, len(numbers)) for line in asked])
        if cluster_by is not None:
            _put(self.clusters, places, [self._cluster(line, cluster_by) for line in asked])

    def _cluster(self, line: Any, key: str) -> int:
        value = line.metadata.get(key)
        if not isinstance(value, (str, int, float, bool)):
            found = "no such key" if value is None else repr(value)
            raise UsageError(
                f"--cluster-by {key}: found {found} in the metadata of dialogue {line.dialogue_id!r}, expected one value",
                hint="name a key that every dialogue of the dataset has",
            )
        return self._cluster_numbers.setdefault(str(value), len(self._cluster_numbers))

    def _take(self, name: str, column: list[Any], places: Sequence[int]) -> None:
        kinds = set(map(type, column))
        if kinds <= NOTHING and name not in self.measures:
            return
        if not kinds <= TRUE_FALSE:
            self._mixed.add(name)
        if name not in self.measures:
            self.measures[name] = array("d", [nan]) * len(self.answers)
        values = [nan if value is None else value for value in column] if kinds & NOTHING else column
        if isinstance(places, range) and name not in self._counts:
            self.measures[name][places.start : places.stop] = array("d", values)
        else:
            self._average(name, values, places)

    def _average(self, name: str, values: list[float], places: Sequence[int]) -> None:
        """The mean of what came so far, place by place."""
        means = self.measures[name]
        counts = self._counts.get(name)
        if counts is None:
            counts = self._counts[name] = array("I", [not isnan(mean) for mean in means])
        for place, value in zip(places, values, strict=True):
            if place >= 0 and not isnan(value):
                counts[place] += 1
                means[place] = value if counts[place] == 1 else means[place] + (value - means[place]) / counts[place]


def _put(column: array[int], places: Sequence[int], values: list[int]) -> None:
    if isinstance(places, range):
        column[places.start : places.stop] = array(column.typecode, values)
        return
    for place, value in zip(places, values, strict=True):
        if place >= 0:
            column[place] = value


def _repeated(ids: list[str]) -> bool:
    """Whether the answers to one dialogue stand side by side."""
    return any(map(eq, ids, ids[1:]))


def _columns_of(batch: Batch) -> dict[str, list[Any]]:
    """What was measured of each item. How long a failure took, and what it cost, says nothing of the answers."""
    lines = batch.answered
    answered = [line if line.type != "error" else None for line in lines]
    used = [line and line.usage for line in answered]
    own: dict[str, list[Any]] = {
        ERRORS: [line is None for line in answered],
        REFUSALS: [line and line.type == "refusal" for line in answered],
        "cost_usd": [
            line and (line.cost_usd if line.reused_cost_usd is None else line.reused_cost_usd) for line in answered
        ],
        "latency_s": [line and (line.latency_s if line.reused_from is None else None) for line in answered],
        "ttft_s": [line and (line.ttft_s if line.reused_from is None else None) for line in answered],
        "gap_p95_s": [line and (line.gap_p95_s if line.reused_from is None else None) for line in answered],
        "tokens_per_s": [line and (line.tokens_per_s if line.reused_from is None else None) for line in answered],
        "input_tokens": [usage and usage.input_tokens for usage in used],
        "output_tokens": [usage and usage.output_tokens for usage in used],
    }
    scores = {name: column for name, column in batch.scores.items() if name not in KNOWN_OTHERWISE}
    return {**own, **scores}
