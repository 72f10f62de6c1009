"""Starts an event loop for callers that have none, such as `run_sync`."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, TypeVar

import anyio

from profiler.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment

Value = TypeVar("Value")


def with_a_loop(asked: Callable[[], Awaitable[Value]], experiments: Sequence[Experiment], *, options: Options) -> Value:
    if _is_running():
        raise UsageError(
            "run_sync cannot be used while an event loop is running, as it is in a notebook",
            hint="write `await profiler.run(experiment)` instead",
        )
    return anyio.run(asked, backend_options=loop_options(experiments, live=options.resolved_mode == "live"))


def loop_options(experiments: Sequence[Experiment], *, live: bool) -> dict[str, bool]:
    """uvloop halves the cost of calls that wait.

    Calls that do not wait hardly use the loop, and importing uvloop takes time.
    """
    waits = live or any(each.mock.latency.median_s > 0 or each.client is not None for each in experiments)
    return {"use_uvloop": waits and importlib.util.find_spec("uvloop") is not None}


def _is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
