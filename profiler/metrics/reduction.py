"""Counts outcomes into states that merge. Runs, `summarize` and the grader all use this one reduction.

All counts are integers, so neither the order nor the division into shards can change a bit of the result, and memory
does not grow with the number of outcomes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from profiler.metrics.alike import Alike, AlikeOutcomes
from profiler.metrics.counted import Content, Group, States
from profiler.metrics.dialogues import Dialogues
from profiler.metrics.metric_calls import MetricCalls
from profiler.metrics.totals import TYPES, BadOutcome, Totals, fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.core.nouns import Outcome, RecordType
    from profiler.metrics.counted import MetricFault
    from profiler.metrics.dialogues import Dialogue
    from profiler.metrics.metric import Estimate, Metric

TAG_LIMIT: Final = 1000  # the others count together, so that ids that are used as tags cannot fill the memory
ERROR_TYPE_LIMIT: Final = 100  # as for tags: users' own clients name their types of errors freely
BATCH: Final = 256  # outcomes that are worked through at once
PENDING_LIMIT: Final = 2048  # different contributions that are counted before they are merged

Key = tuple["RecordType", str | None, tuple[str, ...], Alike]
Note = Callable[[Sequence["Outcome"], Sequence[Sequence[Any] | None], Sequence[Alike]], None]
Value = TypeVar("Value")


class Reduction:
    """What is known of the outcomes added so far.

    Similar outcomes contribute equal states. So contributions are counted first, and each different one is merged once.
    `note` gets every batch, with what it contributes to each metric (None for one that has raised) and the same by outcome.
    """

    def __init__(self, metrics: Sequence[Metric[Any]], *, note: Note | None = None) -> None:
        self._calls = MetricCalls(metrics)
        self.metrics = self._calls.metrics
        self._note = note
        self._waiting: list[Outcome] = []
        self._taken = 0
        self._alike = AlikeOutcomes()
        self._pending: Counter[Key] = Counter()
        self._repeats = False  # whether dialogues are asked several times
        self._dialogues = Dialogues()
        self._pending_dialogues: Counter[Dialogue] = Counter()
        self._all = self._group(0)
        self._all_finished: tuple[Group, int, dict[str, Estimate]] | None = None  # asked for several times in a row
        self._types: dict[RecordType, int] = dict.fromkeys(TYPES, 0)
        self._errors: dict[str, int] = {}
        self._errors_beyond = 0
        self._tags: dict[str, Group] = {}
        self._tags_beyond = self._group(0)
        self._totals = Totals()

    def _group(self, n: int, states: States = ()) -> Group:
        return Group(n, states or (None,) * len(self.metrics))

    # --- adding -------------------------------------------------------------------------------------------------

    def add(self, outcome: Outcome) -> None:
        self._waiting.append(outcome)
        if len(self._waiting) >= BATCH:
            self._take()

    def extend(self, outcomes: Iterable[Outcome]) -> None:
        remaining = iter(outcomes)
        if self._waiting:
            self._take()
        while batch := list(islice(remaining, BATCH)):
            self._waiting = batch
            self._take()

    def _take(self) -> None:
        """Work through the waiting outcomes by columns, which takes a third of the time that single outcomes take."""
        batch, self._waiting = self._waiting, []
        try:
            self._totals.add(batch)
        except BadOutcome:
            raise self._located(batch) from None
        self._taken += len(batch)
        columns = self._calls.contributions(batch)
        alike = self._alike.of(list(zip(*columns, strict=True)) if columns else [()] * len(batch))
        if batch and self._note is not None:
            failed = self._calls.faults
            told = zip(self.metrics, columns, strict=True)
            self._note(batch, [None if metric.name in failed else column for metric, column in told], alike)
        if batch and batch[0].repeat is not None:
            self._take_repeats(batch, columns)
            return
        self._pending.update(Counter(zip(*_kinds(batch), alike, strict=True)))
        # States that stand alone are often large, and to wait with them saves no merge.
        if len(self._pending) >= PENDING_LIMIT or self._alike.some_stand_alone:
            self._fold_pending()

    def _take_repeats(self, batch: list[Outcome], columns: list[list[Any]]) -> None:
        """Of dialogues that are asked several times all answers together make one contribution."""
        self._repeats = True
        for (kind, error_type), count in Counter(zip(*_kinds(batch)[:2], strict=True)).items():
            self._count(kind, error_type, count)
        ended = self._dialogues.add(batch, columns)
        try:
            self._pending_dialogues.update(Counter(ended))
        except TypeError:
            for dialogue in ended:
                self._fold_dialogue(dialogue, 1)
        if len(self._pending_dialogues) >= PENDING_LIMIT:
            self._fold_pending()

    def _located(self, batch: list[Outcome]) -> BadOutcome:
        position, reason = next((at, reason) for at, outcome in enumerate(batch) if (reason := fault(outcome)))
        return BadOutcome(reason, position=self._taken + position, dialogue_id=batch[position].dialogue_id)

    # --- merging ------------------------------------------------------------------------------------------------

    def merge(self, other: Reduction) -> None:
        """Add what another shard has counted. The other one stays as it is."""
        if [metric.name for metric in self.metrics] != [metric.name for metric in other.metrics]:
            raise ValueError("only reductions of the same metrics can be merged")
        self._settle()
        other._settle()
        self._repeats |= other._repeats
        self._all = self._joined(self._all, other._all)
        for kind, count in other._types.items():
            self._types[kind] += count
        for name, count in other._errors.items():
            self._errors[name] = self._errors.get(name, 0) + count
        for tag, group in other._tags.items():
            self._tags[tag] = self._joined(self._tags[tag], group) if tag in self._tags else group
        self._errors_beyond += other._errors_beyond
        self._tags_beyond = self._joined(self._tags_beyond, other._tags_beyond)
        self._trim()
        self._totals.merge(other._totals)
        for place, metric in enumerate(self.metrics):
            if (fault := other._calls.faults.get(metric.name)) is not None:
                self._calls.fail(place, fault)

    def _settle(self) -> None:
        """Merge everything that waits, so that what is read next is complete."""
        if self._waiting:
            self._take()
        for dialogue in self._dialogues.end():
            self._fold_dialogue(dialogue, 1)
        self._fold_pending()

    def _fold_pending(self) -> None:
        for (kind, error_type, tags, alike), count in self._pending.items():
            self._count(kind, error_type, count)
            self._add(Group(count, self._calls.repeated(alike.states, count)), tags)
        self._pending.clear()
        for dialogue, count in self._pending_dialogues.items():
            self._fold_dialogue(dialogue, count)
        self._pending_dialogues.clear()
        self._trim()

    def _fold_dialogue(self, dialogue: Dialogue, count: int) -> None:
        """Add `count` dialogues with equal contributions."""
        tags, answers = dialogue
        states = self._calls.repeated(self._calls.of_dialogue(answers), count)
        self._add(Group(count * len(answers), states), tags)

    def _count(self, kind: RecordType, error_type: str | None, count: int) -> None:
        self._types[kind] += count
        if error_type is not None:
            self._errors[error_type] = self._errors.get(error_type, 0) + count

    def _add(self, group: Group, tags: tuple[str, ...]) -> None:
        self._all = self._joined(self._all, group)
        for tag in dict.fromkeys(tags):
            self._tags[tag] = self._joined(self._tags[tag], group) if tag in self._tags else group

    def _joined(self, left: Group, right: Group) -> Group:
        return Group(left.n + right.n, self._calls.merged(left.states, right.states))

    def _trim(self) -> None:
        """Keep the names that come first in alphabetical order, and count the rest together.

        So the same ones stay in any order of arrival, each with all of its outcomes: a name that was dropped once can
        never be among the first again.
        """
        for group in _beyond(self._tags, limit=TAG_LIMIT):
            self._tags_beyond = self._joined(self._tags_beyond, group)
        self._errors_beyond += sum(_beyond(self._errors, limit=ERROR_TYPE_LIMIT))

    def content(self) -> Content:
        self._settle()
        return Content(
            all=self._all,
            repeats=self._repeats,
            types=self._types,
            errors=self._errors,
            errors_beyond=self._errors_beyond,
            tags=self._tags,
            tags_beyond=self._tags_beyond,
            totals=self._totals,
            faults=tuple(self._calls.faults.values()),
        )

    @staticmethod
    def holding(metrics: Sequence[Metric[Any]], content: Content) -> Reduction:
        """A reduction that goes on from this content, which it takes over."""
        found = Reduction(metrics)
        found._all, found._totals, found._repeats = content.all, content.totals, content.repeats
        found._types, found._errors, found._errors_beyond = content.types, content.errors, content.errors_beyond
        found._tags, found._tags_beyond = content.tags, content.tags_beyond
        places = {metric.name: place for place, metric in enumerate(found.metrics)}
        for each in content.faults:
            found._calls.fail(places[each.metric], each)
        return found

    # --- what came out ------------------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        self._settle()
        return self._all.n

    @property
    def types(self) -> dict[RecordType, int]:
        self._settle()
        return dict(self._types)

    @property
    def errors(self) -> dict[str, int]:
        """Number of errors by type, sorted. Types beyond the first hundred are counted together, as `…`."""
        self._settle()
        return dict(sorted(self._errors.items())) | ({"…": self._errors_beyond} if self._errors_beyond else {})

    @property
    def totals(self) -> Totals:
        self._settle()
        return self._totals

    def estimates(self) -> dict[str, Estimate]:
        self._settle()
        before = self._all_finished
        if before is None or before[0] is not self._all or before[1] != len(self._calls.faults):
            found = self._finished(self._all)
            before = self._all_finished = self._all, len(self._calls.faults), found
        return before[2]

    def by_tag(self) -> dict[str, tuple[int, dict[str, Estimate]]]:
        self._settle()
        return {tag: (group.n, self._finished(group)) for tag, group in sorted(self._tags.items())}

    def beyond_tags(self) -> tuple[int, dict[str, Estimate]] | None:
        """All tags after the first thousand together. An outcome with two of them counts twice."""
        self._settle()
        group = self._tags_beyond
        return (group.n, self._finished(group)) if group.n else None

    @property
    def faults(self) -> tuple[MetricFault, ...]:
        """The metrics that raised, each with the first thing that went wrong."""
        self.estimates()
        return tuple(self._calls.faults.values())

    def _finished(self, group: Group) -> dict[str, Estimate]:
        return self._calls.estimates(group.states, repeats=self._repeats)


def _beyond(named: dict[str, Value], *, limit: int) -> list[Value]:
    return [named.pop(name) for name in sorted(named)[limit:]] if len(named) > limit else []


def _kinds(batch: list[Outcome]) -> tuple[list[RecordType], list[str | None], list[tuple[str, ...]]]:
    return (
        [outcome.type for outcome in batch],
        [None if outcome.type != "error" else _error_type(outcome) for outcome in batch],
        [outcome.tags for outcome in batch],
    )


def _error_type(outcome: Outcome) -> str:
    return outcome.error.type if outcome.error is not None else "unknown"


def reduce_outcomes(
    outcomes: Iterable[Outcome], metrics: Sequence[Metric[Any]], *, note: Note | None = None
) -> Reduction:
    reduction = Reduction(metrics, note=note)
    reduction.extend(outcomes)
    return reduction
