"""What each of several workers may use where nobody hands it out from one place: an equal share of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

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


def _part(whole: int, worker: int, workers: int) -> int:
    """Shares that differ by one at most and add up, but that nobody has less than one."""
    return max(1, whole // workers + (worker < whole % workers))
