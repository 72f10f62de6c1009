"""What a broker is told when it starts."""

from __future__ import annotations

import msgspec

from profiler.manifest.settings import RateLimits


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For one experiment that several workers ask.

    `workers` is the most that will ever ask at once: each of them falls back to that share of the limits when it cannot
    reach the broker. `concurrency` holds for all together. `cap` and `gone` (what is spent already, or may be) are
    pico-dollars. `replaces`: workers may still use what another broker lent them.
    Experiments of the same `provider` share what is learned of it. `session` is how the names of its workers end; those of
    others get nothing. Empty means that any may come.
    """

    workers: int
    concurrency: int
    rate_limits: RateLimits | None = None
    cap: int | None = None
    gone: int = 0
    longest_pause_s: float = 600.0
    answered_before: bool = False
    replaces: bool = False
    provider: str = ""
    session: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker is to do from now on: lend to the workers of the run in this folder."""

    folder: str
    settings: BrokerSettings


class EvenShare(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may use as long as it has never reached the broker: calls at once, and so much a minute of each limit that
    the manifest names."""

    concurrency: int
    per_minute: dict[str, float] = {}
