"""What each of several workers may use: what a broker is told to share out, or an equal part where there is no broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.engine.providers import provider_of
from profiler.fleet.broker.settings import BrokerSettings, EvenShare
from profiler.manifest.settings import RateLimits

if TYPE_CHECKING:
    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment


def share_of(experiment: Experiment, options: Options, *, worker: int, workers: int) -> tuple[Experiment, int]:
    """The experiment with the rate limits of one worker, and how many calls it may have in flight."""
    concurrency = _part(options.concurrency or experiment.concurrency, worker, workers)
    limits = experiment.rate_limits
    if limits is not None:
        named = {name: getattr(limits, name) for name in RateLimits.__struct_fields__}
        parts = {name: None if whole is None else _part(whole, worker, workers) for name, whole in named.items()}
        experiment = msgspec.structs.replace(experiment, rate_limits=RateLimits(**parts))
    return experiment, concurrency


def even_share(experiment: Experiment, options: Options, *, worker: int, workers: int) -> EvenShare:
    """The same share, for a worker whose broker was never there."""
    own, concurrency = share_of(experiment, options, worker=worker, workers=workers)
    limits = {name: getattr(own.rate_limits, name, None) for name in RateLimits.__struct_fields__}
    return EvenShare(
        concurrency=concurrency,
        per_minute={name.removesuffix("_per_minute"): float(each) for name, each in limits.items() if each is not None},
    )


def settings_of_broker(
    experiment: Experiment, options: Options, *, workers: int, cap: int | None, gone: int, kept: int
) -> BrokerSettings:
    """`cap` and `gone` (what is spent already, or may be) are pico-dollars; so many answers are `kept` from before."""
    return BrokerSettings(
        workers=workers,
        concurrency=options.concurrency or experiment.concurrency,
        rate_limits=experiment.rate_limits,
        cap=cap,
        gone=gone,
        longest_pause_s=experiment.retry.deadline_s,
        answered_before=kept > 0,
        provider=repr(provider_of(experiment)),
    )


def _part(whole: int, worker: int, workers: int) -> int:
    """Shares that differ by one at most and add up, but that nobody has less than one."""
    return max(1, whole // workers + (worker < whole % workers))
