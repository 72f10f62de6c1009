"""Slots: permission for a call to be in flight. They limit how many run at once, and decide who is next."""

from __future__ import annotations

from collections import deque

import anyio


class Slots:
    """A semaphore that costs no turn of the event loop while slots are free.

    Jobs that come back from a wait go first.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: deque[anyio.Event] = deque()

    def take_nowait(self) -> bool:
        if self.taken >= self.limit or self._waiting:
            return False
        self.taken += 1
        return True

    async def take(self) -> None:
        if self.take_nowait():
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # the slot was handed over in the same moment: hand it on
                self.give()
            else:
                self._waiting.remove(turn)
            raise

    def give(self) -> None:
        """Give a slot back: to whoever waits, else to the free ones. Above a limit that has shrunk it disappears."""
        if self._waiting and self.taken <= self.limit:
            self._waiting.popleft().set()
        else:
            self.taken -= 1

    def resize(self, limit: int) -> None:
        """Change the limit. More slots can be used at once; fewer take effect as slots are given back."""
        self.limit = limit
        while self._waiting and self.taken < limit:
            self.taken += 1
            self._waiting.popleft().set()

    @property
    def wanted(self) -> bool:
        """Whether a worker should give its slot up: somebody waits for it, or the limit has shrunk."""
        return bool(self._waiting) or self.taken > self.limit
