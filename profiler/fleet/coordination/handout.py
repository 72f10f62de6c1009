"""What is left to hand out, what is in whose hands, and from whom to take when nothing is left."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from profiler.fleet.messages import Part, WasCut
    from profiler.fleet.preparing.prepare import Range
    from profiler.storage.shared_runs.ranges import RangeFolders

    Speed = Callable[[int], float]  # of a worker, in items a second

WORTH_STEALING_S: Final = 0.5  # of work: to take over less costs more than it saves
JOINED_S: Final = 2.0  # of work: so long a worker may be busy with ranges that it answers as one


class OpenRange:
    """A range that a worker is answering now."""

    def __init__(self, first: int, end: int, *, worker: int) -> None:
        self.first = first
        self.end = end
        self.worker = worker
        self.begun = first
        self.being_cut = False
        self.refused = False  # nothing could be taken from it the last time that somebody tried

    @property
    def left(self) -> int:
        return self.end - self.begun


class Theft(NamedTuple):
    """From which range to take, and how many of the items that nobody has begun to leave there."""

    victim: OpenRange
    keep: int


class Handout:
    """Hands out the ranges of one command to its workers."""

    def __init__(self, pieces: Iterable[Range], folders: RangeFolders, *, merged_to: Callable[[], int]) -> None:
        self._unassigned = deque(pieces)
        self._left = sum(end - first for first, end in self._unassigned)
        self._begun = {each.first for each in folders.candidates()}  # where candidates begin, of earlier commands too
        self._open: dict[int, OpenRange] = {}
        self._folders = folders
        self._merged_to = merged_to  # behind the last item that is put together
        self._closed = False

    @property
    def over(self) -> bool:
        """Whether all ranges are done: none left, and none being answered."""
        return not (self._unassigned or self._open)

    def close(self) -> None:
        """From now on, hand out nothing."""
        self._closed = True
        self._unassigned.clear()
        self._left = 0

    def take(self, worker: int, *, among: int = 1, speed: float = 0.0) -> OpenRange | None:
        """The next range for one of `among` workers. A fast one (`speed`, in items a second) gets the ranges behind it
        too, and answers them as one: each range takes some time of its own, whatever its size."""
        if not self._unassigned:
            return None
        most = min(speed * JOINED_S, self._left / (2 * among))
        first, end = self._unassigned.popleft()
        if first not in self._begun:
            while (following := self._following(end)) is not None and following[1] - first <= most:
                self._unassigned.popleft()
                end = following[1]
        self._begun.add(first)
        self._left -= end - first
        found = self._open[first] = OpenRange(first, end, worker=worker)
        return found

    def _following(self, end: int) -> Range | None:
        """The range that begins here, if it is the next one and nobody has begun it."""
        following = self._unassigned[0] if self._unassigned else None
        return following if following is not None and following[0] == end and end not in self._begun else None

    def of(self, worker: int) -> list[OpenRange]:
        return [each for each in self._open.values() if each.worker == worker]

    def heard(self, worker: int, parts: Iterable[Part]) -> None:
        """Note how far a worker is with its ranges, by its own report."""
        for part in parts:
            if (known := self._open.get(part.first)) is not None and known.worker == worker:
                known.begun, known.refused = max(known.begun, part.begun), False

    def done(self, first: int) -> None:
        if (known := self._open.pop(first, None)) is not None:  # what another candidate has committed may end elsewhere
            self._owe(known)

    def take_back(self, worker: int) -> None:
        """A worker has ended: the ranges that it has not committed go to others."""
        for known in self.of(worker):
            del self._open[known.first]
            self._owe(known)

    def _owe(self, known: OpenRange) -> None:
        if self._closed:
            return
        first = self._committed_to(known.first, known.end)
        if first < known.end:
            self._unassigned.appendleft((first, known.end))
            self._left += known.end - first

    def _committed_to(self, first: int, end: int) -> int:
        """How far what is committed reaches without a gap from `first` on.

        Putting together goes on in a thread, and removes the folders of what it has put together: that was committed too,
        although nothing shows it any more. To hand it out again would be to pay for it twice.
        """
        while True:
            first = self._folders.chain_end(first, end)
            merged_to = self._merged_to()  # asked after the look at the folders, which go only when this is higher
            if merged_to <= first:
                return first
            first = merged_to

    def was_cut(self, cut: WasCut) -> None:
        known = self._open.get(cut.first)
        if known is None:
            return
        known.being_cut = False
        if cut.end >= known.end:
            known.refused = True
            return
        rest, known.end = (cut.end, known.end), cut.end
        if not self._closed:
            self._unassigned.append(rest)
            self._left += rest[1] - rest[0]

    def theft_for(self, worker: int, speed: Speed) -> Theft | None:
        """Take from whoever will take longest; what it can answer as long as we answer the rest stays there."""
        if self._closed or any(each.being_cut for each in self._open.values()):
            return None  # one at a time: whoever asks will ask again
        others = [each for each in self._open.values() if each.worker != worker and each.left > 1 and not each.refused]
        victim = max(others, key=lambda each: each.left / speed(each.worker), default=None)
        if victim is None or victim.left / speed(victim.worker) < WORTH_STEALING_S:
            return None
        victim.being_cut = True
        theirs = speed(victim.worker)
        return Theft(victim, keep=round(victim.left * theirs / (theirs + speed(worker))))
