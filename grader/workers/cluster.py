"""Hires workers on a Ray cluster."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, chdir
from typing import TYPE_CHECKING

from grader.workers.messages import GRADES
from profiler.fleet.drivers.ray_driver import workers_on_ray

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from grader.workers.calls import Hire
    from grader.workers.messages import Assignment, Report
    from profiler.fleet.drivers.driver import Workers


def on_ray(address: str | None) -> Hire:
    """On the cluster at this address, or on the one that Ray finds by itself."""

    @asynccontextmanager
    async def hire() -> AsyncIterator[Workers[Assignment, Report]]:
        async with AsyncExitStack() as stack:
            # Ray has its tasks look for modules in the folder that one is in, first of all. Submissions may lie there.
            with tempfile.TemporaryDirectory(prefix="grader-") as empty, chdir(empty):
                workers = await stack.enter_async_context(workers_on_ray(GRADES, address))
            yield workers

    return hire
