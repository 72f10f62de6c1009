"""A limit of which a broker grants some at a time. To the gate it looks like a token bucket of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from profiler.engine.limits.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_AGAIN_S = 0.5  # the gate is told when there is more; this is only the longest it would sleep without


class GrantedBucket:
    """Holds what was granted until that expires.

    Then it holds nothing, until there is a new grant or the worker is allowed to go on `alone`, with a share that is its
    own. `ask` is called when there is too little.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self.per_minute = math.inf
        self.used = 0.0  # since the worker began
        self.one_call = 0.0  # what the latest call would take, or takes
        self.told: tuple[float, float, float] | None = None  # limit, remaining, and when that was
        self._ask = ask
        self._granted: float | None = 0.0
        self._drawn = 0.0
        self._at = self._ends_at = -math.inf
        self._spread_s = 0.0
        self._alone: TokenBucket | None = None
        self._free_alone = False

    def grant(self, amount: float | None, *, at: float, ends_at: float, spread_s: float, not_told: float) -> None:
        """Replace the grant: what was left of the one before is gone. `not_told` was used since the worker wrote the
        message that this grant answers. None is no limit."""
        self._granted, self._drawn = amount, not_told
        self._at, self._ends_at, self._spread_s = at, ends_at, spread_s
        self._alone, self._free_alone = None, False

    def expired(self, now: float) -> bool:
        return now >= self._ends_at

    def go_alone(self, per_minute: float | None, *, now: float) -> None:
        """The broker cannot be reached: until it can, so much a minute is the worker's own; None where there is no limit."""
        if self._alone is None and not self._free_alone:
            self._free_alone = per_minute is None
            if per_minute is not None:
                self._alone = TokenBucket(per_minute, now=now)
                self._alone.empty(now)

    def lose(self) -> None:
        """The grant is void: nothing is left of it."""
        self.used, self._ends_at = 0.0, -math.inf

    def level(self, now: float) -> float:
        if self._alone is not None:
            return self._alone.level(now)
        if now >= self._ends_at:
            return math.inf if self._free_alone else 0.0
        return math.inf if self._granted is None else self._granted - self._drawn

    def wait_s(self, amount: float, now: float) -> float:
        self.one_call = amount
        if self._alone is not None:
            return self._alone.wait_s(amount, now)
        if self.level(now) < amount - 1e-9:
            self._ask()
            return LOOK_AGAIN_S
        if not self._spread_s or not self._granted:
            return 0.0
        # The first call may leave at once, the last of the grant when the time is nearly over.
        due = self._at + self._spread_s * max(0.0, self._drawn) / self._granted
        return max(0.0, due - now)

    def draw(self, amount: float) -> None:
        self.used += amount
        self._drawn += amount
        if self._alone is not None:
            self._alone.draw(amount)

    def empty(self, now: float) -> None:
        """The provider refused, so nothing is left, whatever we thought."""
        if self._alone is not None:
            self._alone.empty(now)
        elif self._granted is not None:
            self._drawn = max(self._drawn, self._granted)

    def correct(self, *, limit: float, remaining: float, in_flight: float, now: float) -> None:
        """The broker is told what a reply says is left; it knows what the others hold."""
        if self.told is None:
            self._ask()
        self.told = limit, remaining, now
        if limit > 0:
            self.per_minute = limit
            if self._alone is not None:  # of what is left the others have their shares
                self._alone.draw(max(0.0, self._alone.level(now) - remaining))
