"""A clock for tests that jumps over waiting times."""

from __future__ import annotations

import asyncio
import selectors
import time
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

STEP_S = 1e-6  # each turn of the loop takes a moment, or a wait too short for a float would never end


class JumpingSelector(selectors.DefaultSelector):
    """Hands out what is ready; when nothing is, the time until the next timer has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits and no timer is set")
        self.now += STEP_S if ready or timeout is None else max(timeout, STEP_S)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


def jumping(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on a clock which jumps to the next timer when there is nothing else to do: an hour of waiting
    takes no time. `time.monotonic` tells the time of that clock meanwhile."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        loop = JumpingLoop()
        with pytest.MonkeyPatch.context() as patched, asyncio.Runner(loop_factory=lambda: loop) as runner:
            patched.setattr(time, "monotonic", loop.time)
            runner.run(test(**fixtures))

    return run
