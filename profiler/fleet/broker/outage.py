"""What a worker may do while the broker cannot be reached: its even share of the limits, and nothing that costs money where a
cap holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from profiler.engine.slots import Slots
    from profiler.fleet.broker.granted_bucket import GrantedBucket
    from profiler.fleet.broker.messages import Lease
    from profiler.fleet.broker.settings import EvenShare

ALONE_AFTER_S: Final = 5.0  # without a broker from the beginning: it may just be starting
ALONE: Final = "the broker cannot be reached: until it can, each worker goes on with its even share of the limits"
NOTHING_ALONE: Final = (
    "the broker cannot be reached: until it can, nothing is asked, as only it knows what is left of the cap"
)


class Outage:
    """`alone` is what the worker may use where no broker was ever reached; without that it waits for one. People are told of
    an outage where somebody else has to end it."""

    def __init__(self, alone: EvenShare | None, *, capped: bool, tell: Callable[[str], None]) -> None:
        self._alone = alone
        self._capped = capped
        self._tell = tell
        self._began = time.monotonic()
        self._told = False

    def is_over(self) -> None:
        self._told = False

    def goes_on(self, lease: Lease | None, buckets: Mapping[str, GrantedBucket], *, slots: Slots | None) -> None:
        """`lease` is the last one, which names the even share."""
        now = time.monotonic()
        if lease is not None:
            self._go_alone(buckets, lease.share, now=now)
        elif self._alone is not None and now >= self._began + ALONE_AFTER_S:
            if slots is not None:
                slots.resize(self._alone.concurrency)
            self._go_alone(buckets, self._alone.per_minute, now=now)

    def _go_alone(self, buckets: Mapping[str, GrantedBucket], share: Mapping[str, float], *, now: float) -> None:
        expired = [name for name, bucket in buckets.items() if bucket.expired(now)]
        for name in expired:
            buckets[name].go_alone(share.get(name), now=now)
        if expired and self._alone is not None and not self._told:
            self._told = True
            self._tell(NOTHING_ALONE if self._capped else ALONE)
