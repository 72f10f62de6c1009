"""Hires the workers of a run: for one experiment, or for all experiments of a manifest, from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.fleet.coordination.crew import Crew
from profiler.fleet.drivers.process_driver import processes as process_driver
from profiler.fleet.temporary_logs import temporary_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from profiler.fleet.drivers.driver import Driver

On = Callable[[Path], AbstractAsyncContextManager["Driver"]]


@asynccontextmanager
async def hired(logs: Path, processes: int, *, on: On) -> AsyncIterator[Crew]:
    """Workers for one experiment. What they say besides their reports they write into the folder `logs`."""
    async with on(logs) as driver:
        yield Crew(driver, processes=processes)


class KeptCrew:
    """The processes that answer one experiment of a manifest answer the next one too: a process takes longer to start than a
    small experiment to be answered. After an error others take their place, since nobody knows what the old ones still do."""

    def __init__(self, opened: AsyncExitStack) -> None:
        self._open = opened
        self._crew: Crew | None = None

    @asynccontextmanager
    async def hire(self, _: Path, processes: int) -> AsyncIterator[Crew]:
        """The workers for the next experiment. Their logs lie outside of its folder, because they outlive it."""
        if self._crew is None:
            logs = self._open.enter_context(temporary_logs())
            self._crew = await self._open.enter_async_context(hired(logs, processes, on=process_driver))
        try:
            yield self._crew
        except Exception:
            self._crew = None
            await self._open.aclose()
            raise


@asynccontextmanager
async def kept_crew() -> AsyncIterator[KeptCrew]:
    """None are started before they are needed; at the end all are gone."""
    async with AsyncExitStack() as opened:
        yield KeptCrew(opened)
