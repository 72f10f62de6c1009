"""What a broker is told when it starts."""

from __future__ import annotations

import msgspec

from profiler.manifest.settings import RateLimits


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For one experiment that several workers ask.

    `workers` is the most that will ever ask at once: each of them falls back to that share of the limits when it cannot
    reach the broker. `concurrency` holds for all together. `cap` and `gone` (what is spent already, or may be) are
    pico-dollars.
    """

    workers: int
    concurrency: int
    rate_limits: RateLimits | None = None
    cap: int | None = None
    gone: int = 0
    longest_pause_s: float = 600.0
    answered_before: bool = False
