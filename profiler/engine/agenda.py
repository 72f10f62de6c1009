"""Which experiments are still to begin, in the order of the manifest, and which of them wait for the answers of another.

Experiments that differ only in how their answers are measured ask nothing twice: one of them is asked, the others take
its answers over. If it fails, the next of them is asked.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from profiler.core.json import encode
from profiler.storage import run_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment


class Turn(NamedTuple):
    """An experiment that may begin; `answers_of` is the folder of one that has asked the same, whose answers it takes."""

    experiment: Experiment
    answers_of: Path | None = None


class Turns(Protocol):
    """Says which experiment begins next: the `Agenda` of a run, or a worker that is given parts of experiments."""

    @property
    def empty(self) -> bool: ...

    def take(self, has_room: Callable[[Experiment], bool]) -> Turn | None: ...


class Agenda:
    """What is left to begin. `group_of` says with whom an experiment shares its limits: who belongs to one group waits
    for nobody of another."""

    def __init__(
        self, experiments: Sequence[Experiment], *, options: Options, group_of: Callable[[Experiment], Hashable]
    ) -> None:
        self._number = {each.experiment_id: number for number, each in enumerate(experiments)}
        self._group_of = group_of
        self._options = options
        self._groups: dict[Hashable, deque[Experiment]] = {}
        self._ready: deque[Turn] = deque()  # these need no slots: their answers are there already
        self._waiting: dict[str, list[Experiment]] = {}  # by the id of the one that is asked for them
        waits: set[str] = set()
        for asked, *rest in same_questions(experiments, options):
            self._waiting[asked.experiment_id] = rest
            waits.update(each.experiment_id for each in rest)
        for experiment in experiments:
            if experiment.experiment_id not in waits:
                self._groups.setdefault(group_of(experiment), deque()).append(experiment)

    @property
    def empty(self) -> bool:
        """Whether nothing is left to begin, now or later."""
        return not (self._groups or self._ready or self._waiting)

    def take(self, has_room: Callable[[Experiment], bool]) -> Turn | None:
        """The next that begins: the first in the order of the manifest whose group has room."""
        if self._ready:
            return self._ready.popleft()
        heads = [line[0] for line in self._groups.values() if has_room(line[0])]
        if not heads:
            return None
        begun = min(heads, key=lambda each: self._number[each.experiment_id])
        group = self._group_of(begun)
        line = self._groups[group]
        line.popleft()
        if not line:
            del self._groups[group]
        return Turn(begun)

    def ended(self, experiment: Experiment, *, complete: bool) -> None:
        """An experiment has ended: those that waited for its answers take them over, or the first of them is asked instead."""
        waited = self._waiting.pop(experiment.experiment_id, [])
        if complete:
            self._ready.extend(Turn(each, self._options.folder_of(experiment)) for each in waited)
        elif waited:
            heir, *rest = waited
            self._groups.setdefault(self._group_of(heir), deque()).appendleft(heir)
            if rest:
                self._waiting[heir.experiment_id] = rest


def same_questions(experiments: Sequence[Experiment], options: Options) -> list[list[Experiment]]:
    """Groups of experiments that differ only in what is measured: in each, first the one that is asked.

    Experiments that do not differ at all are in different groups: whoever writes one down twice wants two samples.
    """
    if len(experiments) == 1:
        return []
    seen: dict[bytes, int] = {}
    found: dict[tuple[bytes, int], list[Experiment]] = {}
    for experiment in experiments:
        question = _digest(
            msgspec.structs.replace(
                experiment, experiment_id="-", written_in=None, metrics=(), pass_at=(), thresholds={}
            )
        )
        measured = _digest([question, experiment.metrics, experiment.pass_at, experiment.thresholds])
        again = seen[measured] = seen.get(measured, -1) + 1
        found.setdefault((question, again), []).append(experiment)
    return [_asked_first(same, options) for same in found.values() if len(same) > 1]


def _asked_first(same: list[Experiment], options: Options) -> list[Experiment]:
    """First the experiment that has the most answers already: the fewest calls are left."""
    if options.fresh:
        return same
    return sorted(same, key=lambda each: _still_to_ask(options, each))


def _still_to_ask(options: Options, experiment: Experiment) -> int:
    try:
        before = run_directory.earlier(options.folder_of(experiment))
    except Exception:  # noqa: BLE001 (a folder that cannot be read is told of when its experiment begins)
        return 3
    if before is None:
        return 2
    if before.summary is None:
        return 1
    return -1 if before.summary["run"].get("answers_of") is None else 0


def _digest(value: object) -> bytes:
    return blake2b(encode(value, enc_hook=str), digest_size=16).digest()
