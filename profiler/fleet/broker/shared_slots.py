"""How many calls all workers together may have in flight, shared out by what each has use for."""

from __future__ import annotations

import math


class Part:
    def __init__(self) -> None:
        self.lent = 0
        self.may_use = 0  # it has what it was lent before as long as it has not heard that it is less now
        self.in_flight = 0
        self.want = 0
        self.saturated = False


class SharedSlots:
    """To the adaptive concurrency it looks like the slots of one process: a limit, and how many are taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._most = limit
        self._parts: dict[str, Part] = {}
        self._inherited_until = -math.inf

    @property
    def taken(self) -> int:
        """All of them while workers that have slots use those to the full; their messages come once a second only."""
        lent = [each for each in self._parts.values() if each.lent]
        if lent and all(each.saturated for each in lent):
            return self.limit
        return sum(each.in_flight for each in self._parts.values())

    @property
    def asking(self) -> int:
        """How many workers could use slots now."""
        return sum(each.want > 0 for each in self._parts.values())

    def resize(self, limit: int) -> None:
        self.limit = limit

    def inherit(self, *, until: float) -> None:
        """Another broker lent slots that may be in use until then, by workers that this one has not heard of yet. So each keeps
        what it holds, and nobody gets more."""
        self._inherited_until = max(self._inherited_until, until)

    def told(self, who: str, *, in_flight: int, saturated: bool, holds: int, now: float) -> None:
        """`holds` counts in the first message of a worker that another broker may have lent them."""
        part = self._parts.get(who)
        if part is None:
            part = self._parts[who] = Part()
            if now < self._inherited_until:
                part.lent = holds
                held = sum(each.lent for each in self._parts.values())
                self.limit = min(max(self.limit, held), self._most)  # that many at once were found good
        part.may_use = part.lent  # the answer to its message before this one has come
        part.in_flight, part.saturated = in_flight, saturated

    def lend(self, who: str, *, want: int, now: float) -> int:
        """The worker's part now. What others hold they hold until they renew, so a part may be short at first."""
        part = self._parts.setdefault(who, Part())
        part.want = want
        others = sum(max(each.may_use, each.in_flight) for name, each in self._parts.items() if name != who)
        at_most = part.lent if now < self._inherited_until else self.limit - others
        part.lent = max(0, min(want, self._even_part(who), at_most, self.limit - others))
        part.may_use = max(part.may_use, part.lent)
        return part.lent

    def go_on(self, *, most: int) -> None:
        """Serve other workers from here on, with at most so many calls at once."""
        self._parts.clear()
        self._most = most

    def leave(self, who: str) -> None:
        self._parts.pop(who, None)

    def part_of(self, who: str) -> int:
        return self._parts[who].lent if who in self._parts else 0

    def _even_part(self, who: str) -> int:
        """An even part for every worker; those that want less leave the rest of theirs to the others."""
        left = self.limit
        wants = sorted((each.want, number, name) for number, (name, each) in enumerate(self._parts.items()))
        for behind, (want, _, name) in zip(range(len(wants), 0, -1), wants, strict=True):
            part = min(want, left // behind)
            if name == who:
                return part
            left -= part
        return 0
