"""Notices that the first calls of a run were all refused for the same reason, so that the rest would be too."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Hashable

HOPELESS_AFTER = 5  # calls that were refused in the same way


class FirstRefusals:
    """Watches the calls of a run until the first answer.

    When all of the first calls are refused alike, the cause is not in their dialogues: the model does not exist, say.
    Refusals come back faster than answers, so calls that left earlier may still be answered. Until those have ended
    nothing is decided, and no further call leaves, because all of them might be refused.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._in_flight: dict[Hashable, int] = {}
        self._refused: dict[str, int] = {}
        self._last = -1
        self._answered = False
        self._changed = anyio.Event()

    def left(self, call: Hashable) -> None:
        if not self._answered:
            self._in_flight[call] = next(self._numbers)

    def ended(self, call: Hashable, *, refused: str | None = None) -> None:
        """A call ended; `refused` is the kind of a failure that another try would not mend."""
        if self._answered:
            return
        number = self._in_flight.pop(call, -1)
        if refused is not None:
            self._refused[refused] = self._refused.get(refused, 0) + 1
            self._last = max(self._last, number)
        self._changed.set()

    def answered(self) -> None:
        self._answered = True
        self._in_flight.clear()
        self._changed.set()

    @property
    def hopeless(self) -> bool:
        """Whether enough calls were refused alike, and every call that left before the last of them ended without an
        answer."""
        return self._enough and not self._earlier_in_flight

    @property
    def undecided(self) -> bool:
        """Whether it would be hopeless, were it not for earlier calls that may still be answered."""
        return self._enough and self._earlier_in_flight

    @property
    def _enough(self) -> bool:
        return not self._answered and max(self._refused.values(), default=0) >= HOPELESS_AFTER

    @property
    def _earlier_in_flight(self) -> bool:
        return any(number < self._last for number in self._in_flight.values())

    async def decided(self, *, give_up: anyio.Event) -> None:
        """Wait while it is undecided, or until `give_up` is set."""
        while self.undecided and not give_up.is_set():
            if self._changed.is_set():
                self._changed = anyio.Event()
            async with anyio.create_task_group() as either:
                for event in (self._changed, give_up):
                    either.start_soon(_cancel_after, event, either.cancel_scope)


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
