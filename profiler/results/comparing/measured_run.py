"""One run as columns of numbers, a place for each dialogue of the run that it is compared with.

Several answers to one dialogue become their mean. A place without a number holds NaN.
"""

from __future__ import annotations

from array import array
from itertools import compress, islice, repeat
from math import isnan, nan
from operator import attrgetter, eq, itemgetter
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import msgspec

from profiler.core.errors import UsageError
from profiler.results.comparing.dialogue_ids import DialogueIds, places_of
from profiler.results.comparing.run_lines import NOTHING as NOT_SAID
from profiler.results.comparing.run_lines import Asked, AskedInCluster, AskedWithTags, batches
from profiler.storage.names import REQUESTS
from profiler.storage.reading.read_logs import damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from profiler.results.comparing.run_lines import Batch
    from profiler.storage.reading.saved_run import SavedRun

    Numbers = array[float]

COMPLETION: Final = "completion_rate"
ERRORS: Final = "error_rate"
REFUSALS: Final = "refusal_rate"
REFUSED: Final = {None: 0, False: 1, True: 2}
NO_FACTS: Final = (b"null", b"[]")
NOTHING: Final = frozenset({type(None)})
TRUE_FALSE: Final = NOTHING | {bool}
PROMPT, FACTS, EXPECTED, EXPECT_REFUSAL = map(attrgetter, ("prompt", "required_facts", "expected", "expect_refusal"))
TAGS = attrgetter("tags")
TYPE, USAGE, INPUT_TOKENS, OUTPUT_TOKENS = map(attrgetter, ("type", "usage", "input_tokens", "output_tokens"))
COST = attrgetter("cost_usd")
TIMES = {name: attrgetter(name) for name in ("latency_s", "ttft_s")}
OF_STREAMS = {name: attrgetter(name) for name in ("gap_p95_s", "tokens_per_s")}  # only where there is a first token
REUSED_FROM, REUSED_COST = map(attrgetter, ("reused_from", "reused_cost_usd"))
PICKED: Final = 4096
NAMED: Final = 1_000  # so many ids are kept of what is told with ids


class _TagSets(dict[bytes, int]):
    """A number for each list of tags as it stands in the file, in the order in which they are met; `sets` decodes them."""

    def __init__(self) -> None:
        self.sets: list[tuple[str, ...]] = []

    def __missing__(self, tags: bytes) -> int:
        self.sets.append(msgspec.json.decode(tags, type=tuple[str, ...]))
        self[tags] = number = len(self)
        return number


class MeasuredRun:
    """`measures`: a column for each score, and for errors, refusals, latency, cost and tokens. `true_false`: those of
    them whose every value is true or false, with one answer a dialogue."""

    def __init__(self, run: SavedRun, *, base: MeasuredRun | None = None) -> None:
        self.run = run
        self.ids = DialogueIds()
        self.measures: dict[str, Numbers] = {}
        self.answers = array("H")
        self.questions = array("I")
        self.judged_by = array("I")
        self.extra: list[str] = []
        self.extra_count = 0
        self.tags = array("I")
        self._tag_numbers = _TagSets()
        self.clusters = array("I")
        self._cluster_numbers: dict[str, int] = {}
        self.requires_facts = False
        self._mixed: set[str] = set()
        self._counts: dict[str, array[int]] = {}
        self._base = base

    @property
    def tag_sets(self) -> Sequence[tuple[str, ...]]:
        """What the numbers in `tags` stand for."""
        return self._tag_numbers.sets

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
        """Read everything in the order of the run, then put it into the places of the run that it is compared with."""
        kind = Asked if self._base is not None else AskedWithTags if cluster_by is None else AskedInCluster
        for batch in batches(self.run, kind, search_path=search_path):
            places = self._places_for(batch.ids)
            self._take_questions(batch.asked, places, cluster_by)
            for name, column in _columns_of(batch).items():
                self._take(name, column, places)
            self._count(places)
        self._counts.clear()
        if self._base is not None:
            self._align(self._base.ids)
        return self

    def _count(self, places: Sequence[int]) -> None:
        if isinstance(places, range):
            self.answers[places.start : places.stop] = array("H", [1]) * len(places)
            return
        for place in places:
            self.answers[place] += 1

    def _places_for(self, ids: list[str]) -> Sequence[int]:
        """Where each item goes: the answers to one dialogue stand side by side."""
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

    def _align(self, wanted: DialogueIds) -> None:
        """Put what was measured into the places of other ids; those that are none of them are told as `extra`."""
        own, self.ids = self.ids, wanted
        if own.same_as(wanted):
            return
        places = places_of(wanted, own)
        extra = bytearray(b"\1") * len(own)
        for place in places:
            if place >= 0:
                extra[place] = 0
        self.extra_count = extra.count(1)
        self.extra = list(islice(compress(own, extra), NAMED))
        move = _Move(places, permutes=len(own) == len(wanted) and not self.extra_count)
        for name, column in self.measures.items():
            self.measures[name] = move(column, absent=nan)
        self.answers = move(self.answers, absent=0)
        self.questions = move(self.questions, absent=0)
        self.judged_by = move(self.judged_by, absent=0)

    def _extend(self, size: int) -> None:
        more = size - len(self.answers)
        for column in self.measures.values():
            column.extend(array("d", [nan]) * more)
        counts = [self.answers, self.questions, self.judged_by, *self._counts.values()]
        for numbers in [*counts, self.tags, self.clusters] if self._base is None else counts:
            numbers.extend(array(numbers.typecode, [0]) * more)

    # --- columns ------------------------------------------------------------------------------------------------

    def _take_questions(self, asked: list[Asked], places: Sequence[int], cluster_by: str | None) -> None:
        _put(self.questions, places, list(map(crc32, map(PROMPT, asked))))
        _put(self.judged_by, places, list(map(crc32, map(FACTS, asked), _expectations(asked))))
        self.requires_facts = self.requires_facts or any(bytes(line.required_facts) not in NO_FACTS for line in asked)
        if self._base is not None:
            return
        try:
            _put(self.tags, places, list(map(self._tag_numbers.__getitem__, map(bytes, map(TAGS, asked)))))
        except msgspec.ValidationError as error:
            raise damaged(self.run.folder / REQUESTS, f"has tags that are no list of texts: {error}") from error
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
            if not isnan(value):
                counts[place] += 1
                means[place] = value if counts[place] == 1 else means[place] + (value - means[place]) / counts[place]


def _expectations(asked: list[Asked]) -> Iterable[int]:
    """A number for what else an answer is judged by. Mostly nothing is said, and then it is the same for all."""
    expected, refused = list(map(EXPECTED, asked)), list(map(EXPECT_REFUSAL, asked))
    if expected.count(NOT_SAID) == len(asked) == refused.count(None):
        return repeat(crc32(NOT_SAID, REFUSED[None]))
    return map(crc32, expected, map(REFUSED.__getitem__, refused))


def _put(column: array[int], places: Sequence[int], values: list[int]) -> None:
    if isinstance(places, range):
        column[places.start : places.stop] = array(column.typecode, values)
        return
    for place, value in zip(places, values, strict=True):
        column[place] = value


class _Move:
    """Puts columns into another order: first what stands at the first of `places`, and so on; -1 for what is not there.

    Some thousands are taken in one call, which takes half the time of one by one. `permutes`: all are there, and nothing
    else is, so a column of equal numbers stays as it is: often nothing failed, and nothing was refused.
    """

    def __init__(self, places: Sequence[int], *, permutes: bool) -> None:
        parts = (places[start : start + PICKED] for start in range(0, len(places), PICKED))
        self._picks: list[Callable[[Any], Sequence[Any]]] = [
            itemgetter(*part) if len(part) > 1 else itemgetter(slice(part[0], part[0] + 1 or None)) for part in parts
        ]
        self._permutes = permutes

    def __call__(self, column: array[Any], *, absent: float) -> array[Any]:
        if self._permutes and column.tobytes() == column[:1].tobytes() * len(column):
            return column
        column.append(absent)  # the place -1 is the last
        moved = column[:0]
        for pick in self._picks:
            moved.extend(array(column.typecode, pick(column)))
        return moved


def _repeated(ids: list[str]) -> bool:
    """Whether the answers to one dialogue stand side by side."""
    return any(map(eq, ids, ids[1:]))


def _columns_of(batch: Batch) -> dict[str, list[Any]]:
    """What was measured of each item. How long a failure took, and what it cost, says nothing of the answers."""
    lines = batch.answered
    answered: list[Any] = lines
    if "error" in (types := list(map(TYPE, lines))):
        answered = [None if kind == "error" else line for kind, line in zip(types, lines, strict=True)]
    used, reused = _of(answered, USAGE), _of(answered, REUSED_FROM)
    cost, times = _of(answered, COST), {name: _of(answered, get) for name, get in TIMES.items()}
    if any(times["ttft_s"]):
        times |= {name: _of(answered, get) for name, get in OF_STREAMS.items()}
    if any(reused):
        once = _of(answered, REUSED_COST)
        cost = [now if before is None else before for now, before in zip(cost, once, strict=True)]
        times = {
            name: [None if run else each for run, each in zip(reused, column, strict=True)]
            for name, column in times.items()
        }
    own: dict[str, list[Any]] = {
        ERRORS: [kind == "error" for kind in types] if answered is not lines else [False] * len(types),
        REFUSALS: [None if kind == "error" else kind == "refusal" for kind in types]
        if answered is not lines or "refusal" in types
        else [False] * len(types),
        "cost_usd": cost,
        **times,
        "input_tokens": _of(used, INPUT_TOKENS),
        "output_tokens": _of(used, OUTPUT_TOKENS),
    }
    return {**own, **batch.scores}


def _of(lines: Sequence[Any], get: Callable[[Any], Any]) -> list[Any]:
    """A field of every line, None where there is no line."""
    return list(map(get, lines)) if all(lines) else [line and get(line) for line in lines]
