"""Calls the functions of metrics, which may be the user's own and raise anything: one that raises has no value from there
on, and the others are not affected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.own_code import expect_fault
from profiler.metrics.counted import MetricFault
from profiler.metrics.metric import NO_DATA, Estimate, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.nouns import Outcome
    from profiler.metrics.counted import States

NO_CLUSTER: Final = "no interval: the metric has no cluster(), which says how several answers to one dialogue count"


class MetricCalls:
    """Works on states, of which there is one for each metric. `faults` has the first thing that went wrong with each
    metric that raised."""

    def __init__(self, metrics: Sequence[Metric[Any]]) -> None:
        self.metrics = tuple(metrics)
        self.faults: dict[str, MetricFault] = {}
        self._asked = list(metrics)  # a metric that has raised is replaced here by one that does nothing
        self._bases = [_place_of(metric.builds_on, metrics[:place]) for place, metric in enumerate(metrics)]

    def fail(self, place: int, fault: MetricFault) -> None:
        self.faults.setdefault(fault.metric, fault)
        self._asked[place] = _saying_nothing(fault.metric)

    def _give_up(self, place: int, error: BaseException, *, dialogue_id: str | None = None) -> None:
        self.fail(place, MetricFault.of(self.metrics[place].name, error, dialogue_id=dialogue_id))

    def contributions(self, batch: list[Outcome]) -> list[list[Any]]:
        """What each metric gets from these outcomes: one list (column) for each metric."""
        columns: list[list[Any]] = []
        for place, base in enumerate(self._bases):
            metric = self._asked[place]
            if metric.build is None or base is None or self.metrics[base].name in self.faults:
                columns.append(self._contributions(place, batch))
            else:
                columns.append(list(map(metric.build, batch, columns[base])))
        return columns

    def _contributions(self, place: int, batch: list[Outcome]) -> list[Any]:
        contribute = self._asked[place].contribute
        at: Outcome | None = None
        try:
            return [contribute(at := outcome) for outcome in batch]
        except BaseException as error:  # noqa: BLE001 (a metric may be the user's own and raise anything)
            expect_fault(error)
            self._give_up(place, error, dialogue_id=None if at is None else at.dialogue_id)
            return [None] * len(batch)

    def merged(self, left: States, right: States) -> States:
        try:
            return tuple(
                [
                    theirs if ours is None else ours if theirs is None else metric.merge(ours, theirs)
                    for metric, ours, theirs in zip(self._asked, left, right, strict=True)
                ]
            )
        except BaseException as error:  # noqa: BLE001 (as in contribute; here it is not yet known which metric it was)
            expect_fault(error)
            return tuple([self._merged_at(place, *pair) for place, pair in enumerate(zip(left, right, strict=True))])

    def _merged_at(self, place: int, ours: Any, theirs: Any) -> Any:
        if ours is None or theirs is None:
            return theirs if ours is None else ours
        try:
            return self._asked[place].merge(ours, theirs)
        except BaseException as error:  # noqa: BLE001
            expect_fault(error)
            self._give_up(place, error)
            return None

    def repeated(self, states: States, count: int) -> States:
        """`count` equal contributions, merged by doubling: log2(count) merges instead of count."""
        result: States | None = None
        while True:
            if count & 1:
                result = states if result is None else self.merged(result, states)
            count >>= 1
            if not count:
                return result or ()
            states = self.merged(states, states)

    def of_dialogue(self, answers: Sequence[States]) -> States:
        """What the answers to one dialogue contribute together."""
        whole, *others = answers
        for each in others:
            whole = self.merged(whole, each)
        return tuple([self._clustered(place, state) for place, state in enumerate(whole)])

    def _clustered(self, place: int, state: Any) -> Any:
        cluster = self._asked[place].cluster
        if state is None or cluster is None:
            return state
        try:
            return cluster(state)
        except BaseException as error:  # noqa: BLE001
            expect_fault(error)
            self._give_up(place, error)
            return None

    def estimates(self, states: States, *, repeats: bool) -> dict[str, Estimate]:
        """By the metrics' names; those that are part of another one stand among its parts. `repeats`: dialogues were
        asked several times."""
        found = {
            each.name: self._finish(place, states[place], repeats=repeats) for place, each in enumerate(self.metrics)
        }
        for metric in self.metrics:
            if (whole := metric.part_of) is not None:
                parts = (found[whole].parts or {}) | (found.pop(metric.name).parts or {})
                found[whole] = msgspec.structs.replace(found[whole], parts=parts or None)
        return found

    def _finish(self, place: int, state: Any, *, repeats: bool) -> Estimate:
        metric = self._asked[place]
        try:
            found = _sound(metric.finish(state))
            return _without_interval(found) if repeats and metric.cluster is None else found
        except BaseException as error:  # noqa: BLE001
            expect_fault(error)
            self._give_up(place, error)
            return NO_DATA


def _place_of(base: Metric[Any] | None, before: Sequence[Metric[Any]]) -> int | None:
    """Where a metric stands among these; by identity, for the user's own may be named like a built-in one."""
    return next((place for place, metric in enumerate(before) if metric is base), None)


def _sound(found: object) -> Estimate:
    if not isinstance(found, Estimate):
        raise TypeError(f"finish returned {found!r}, expected an Estimate")
    return msgspec.convert(msgspec.to_builtins(found), Estimate)


def _without_interval(found: Estimate) -> Estimate:
    """The estimate of a metric that does not say how the answers to one dialogue count: its interval takes them for
    independent, and would be too narrow."""
    parts = {name: _without_interval(part) for name, part in (found.parts or {}).items()}
    note = found.note if found.ci95 is None else NO_CLUSTER
    return msgspec.structs.replace(found, ci95=None, parts=parts or None, note=note)


def _saying_nothing(name: str) -> Metric[Any]:
    return Metric(name=name, contribute=lambda _: None, merge=lambda _, __: None, finish=lambda _: NO_DATA)
