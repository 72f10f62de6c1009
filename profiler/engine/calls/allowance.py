"""What a run is allowed by somebody outside, who shares limits, calls at once and money out among several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from profiler.engine.calls.pool import Pool
    from profiler.engine.limits.provider_limits import ProviderLimits
    from profiler.engine.slots import Slots
    from profiler.money.budget import Budget, Cap


class Allowance(Protocol):
    """`cap` stands for the money that may be spent; None where there is no cap."""

    @property
    def cap(self) -> Cap | None: ...

    def limits_of(self, slots: Slots, *, longest_pause_s: float) -> ProviderLimits:
        """The limits that calls must pass. From here on, the size of `slots` is set from outside."""

    def asking(self, pool: Pool, *, folder: Path, budget: Budget | None) -> AbstractContextManager[None]:
        """While this lasts, the pool makes calls; what they cost is written down in the run directory."""
