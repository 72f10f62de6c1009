"""Slots: permission for a call to be in flight. They limit how many run at once, and decide who is next.

Slots may lie within others, whose limit then holds for all that lie in them: those of an experiment lie within those of
the provider it asks, and these within those of the whole run.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


class Slots:
    """A semaphore that costs no turn of the event loop while slots are free.

    Jobs that come back from a wait go first. `lends`: the outermost slots of jobs that wait for what their provider
    allows may be had by others meanwhile.
    """

    def __init__(self, limit: int, *, within: Slots | None = None, lends: bool = False) -> None:
        self.limit = limit
        self.taken = 0
        self.lent = 0  # how many of those that are taken here do not count in the outermost slots right now
        self.lets_all_in = False
        self.within = within
        self.lender: Slots | None = self if lends else None if within is None else within.lender
        self.waiting: deque[anyio.Event] = deque()
        self.outermost: Slots = self if within is None else within.outermost
        self.line: list[Slots] = []  # of the outermost: those in which somebody waits, in the order of their coming
        self.takers: list[Callable[[], object]] = []  # of the outermost: who is told of slots that nobody waits for

    @property
    def free(self) -> bool:
        """Whether a slot could be taken right now, here and in the slots around these."""
        slots: Slots | None = self
        while slots is not None:
            if slots.taken >= slots.limit:
                return False
            slots = slots.within
        return True

    @property
    def room(self) -> int:
        """How many slots could be taken right now."""
        found, slots = self.limit - self.taken, self.within
        while slots is not None:
            found, slots = min(found, slots.limit - slots.taken), slots.within
        return found

    def take_nowait(self) -> bool:
        if self.waiting or not self.free:
            return False
        self.count(1)
        return True

    async def take(self) -> None:
        if self.take_nowait():
            return
        if self.lets_all_in:
            self.count(1)
            return
        turn = anyio.Event()
        self.waiting.append(turn)
        if len(self.waiting) == 1:
            self.outermost.line.append(self)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # the slot was handed over in the same moment: hand it on
                self.give()
            else:
                self.waiting.remove(turn)
                if not self.waiting:
                    self.outermost.line.remove(self)
            raise

    def give(self) -> None:
        """Give a slot back: to whoever waits, else to whoever has work for it. Above a limit that has shrunk it disappears."""
        self.count(-1)
        self.outermost.serve()

    def let_all_in(self) -> None:
        """From now on nobody waits for a slot, whatever the limit: a run that ends must not wait for one that never comes."""
        self.lets_all_in = True
        while self.waiting:
            self.count(1)
            self.waiting.popleft().set()

    async def lent_while(self, wait: Callable[[], Awaitable[bool]]) -> bool:
        """Await `wait` in a job that cannot leave yet; before it goes on, it needs a slot of the outermost again."""
        lender, outermost = self.lender, self.outermost
        if lender is None:
            return await wait()
        lender.lent += 1
        outermost.taken -= 1
        outermost.serve()
        leaves, failed = False, None
        try:
            try:
                leaves = await wait()
            except Exception as error:  # noqa: BLE001 (it is raised below: its worker goes on, and needs the slot)
                failed = error
            finally:
                lender.lent -= 1
            await outermost.take()
        except BaseException:
            outermost.taken += 1  # the worker ends, and gives back the slot that it should hold
            raise
        if failed is not None:
            raise failed
        return leaves

    def resize(self, limit: int) -> None:
        """Change the limit. More slots can be used at once; fewer take effect as slots are given back."""
        self.limit = limit
        self.outermost.serve()

    @contextmanager
    def offered_to(self, taker: Callable[[], object]) -> Iterator[None]:
        """While this lasts, `taker` is called whenever there may be a slot to take; the first taker is called first."""
        takers = self.outermost.takers
        takers.append(taker)
        try:
            yield
        finally:
            takers.remove(taker)

    @property
    def wanted(self) -> bool:
        """Whether a worker should give its slot up: somebody waits for it, or a limit has shrunk."""
        if self.waiting or self.taken > self.limit:
            return True
        slots = self.within
        if slots is None:  # looked at after every call
            return False
        while slots is not None:
            if slots.taken > slots.limit:
                return True
            slots = slots.within
        outermost = self.outermost
        return bool(outermost.line) and outermost.taken >= outermost.limit

    def count(self, change: int) -> None:
        slots: Slots | None = self
        while slots is not None:
            slots.taken += change
            slots = slots.within

    def serve(self) -> None:
        """Hand free slots to the waiting jobs, then offer the rest. Called on the outermost slots only."""
        for slots in list(self.line):
            while slots.waiting and slots.free:
                slots.count(1)
                slots.waiting.popleft().set()
            if not slots.waiting:
                self.line.remove(slots)
        for taker in list(self.takers):
            if self.taken >= self.limit:
                return
            taker()
