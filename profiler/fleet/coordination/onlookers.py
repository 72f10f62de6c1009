"""What goes on beside a run by several processes: the panel, the status for others, and the signals that stop it."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import create_task_group

from profiler.engine.onlookers import beside, obey_signals
from profiler.engine.threads import in_thread
from profiler.storage import status_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path
    from typing import Any

    from profiler.engine.progress import Looks
    from profiler.fleet.coordination.coordinator import Coordinator
    from profiler.fleet.coordination.fleet_view import FleetView

    Watch = Callable[[Looks], Coroutine[Any, Any, None]]

STATUS_EVERY_S = 1.0


async def run_looked_at(
    coordinator: Coordinator,
    view: FleetView,
    *,
    watch: Watch | None,
    signals: bool,
    status: Path | None,
    also: Sequence[Callable[[], Awaitable[None]]] = (),
    tell: Callable[[str], None],
) -> None:
    """Run the fleet to its end while it can be watched. `status` is the folder for status.json; `also` runs beside the fleet."""
    tasks = list(also)
    if watch is not None:
        tasks.append(partial(watch, view))
    if signals:
        more = {signal.SIGUSR1: coordinator.join_late}  # asks for one more worker
        tasks.append(partial(obey_signals, coordinator, tell=tell, others=more))
    async with create_task_group() as around:
        for task in tasks:
            around.start_soon(beside, coordinator, task)
        if status is not None:
            around.start_soon(_tell_status, status, view)
        await coordinator.run()
        around.cancel_scope.cancel()


async def _tell_status(folder: Path, view: FleetView) -> None:
    try:
        while True:
            await anyio.sleep(STATUS_EVERY_S)
            await in_thread(status_file.write, folder, view.look())
    finally:
        status_file.remove(folder)
