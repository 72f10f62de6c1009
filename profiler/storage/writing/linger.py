"""A wait for more before something is written: many small writes would cost more than one large one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Linger:
    """`over` says that the wait has lasted long enough."""

    def __init__(self) -> None:
        self.over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float, *, wake: Callable[[], None]) -> None:
        """Wait, if that has not begun already; `wake` is called when it is over."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end, wake)

    def _end(self, wake: Callable[[], None]) -> None:
        self.over = True
        wake()

    def forget(self) -> None:
        """The wait is over, or no longer of use; the next one begins anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.over = None, False
