"""Who looks at a run by several processes while it goes on: the panel, the status for others, and the signals that stop it."""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import create_task_group

from profiler.core.errors import Interrupted
from profiler.engine.threads import in_thread
from profiler.storage import status_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path
    from typing import Any

    from profiler.engine.progress import Looks
    from profiler.fleet.coordination.coordinator import Coordinator
    from profiler.fleet.coordination.looks import FleetLooks

    Watch = Callable[[Looks], Coroutine[Any, Any, None]]

STATUS_EVERY_S = 1.0


async def run_looked_at(
    coordinator: Coordinator,
    looks: FleetLooks,
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
        tasks.append(partial(watch, looks))
    if signals:
        tasks.append(partial(_obey_signals, coordinator, looks, tell))
    async with create_task_group() as beside:
        for task in tasks:
            beside.start_soon(_beside, coordinator, task)
        if status is not None:
            beside.start_soon(_tell_status, status, looks)
        await coordinator.run()
        beside.cancel_scope.cancel()


async def _beside(coordinator: Coordinator, task: Callable[[], Awaitable[None]]) -> None:
    """Run a task beside the workers. When it fails (stderr was closed, say), the run ends, but the calls in flight are paid
    for and end first."""
    try:
        await task()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is raised when the last call has ended)
        coordinator.stop(error)


async def _tell_status(folder: Path, looks: FleetLooks) -> None:
    try:
        while True:
            await anyio.sleep(STATUS_EVERY_S)
            await in_thread(status_file.write, folder, looks.look())
    finally:
        status_file.remove(folder)


async def _obey_signals(coordinator: Coordinator, looks: FleetLooks, tell: Callable[[str], None]) -> None:
    """The first signal lets the calls in flight end, the second does not wait for them. SIGUSR1 asks for one more worker."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) as signals:
        async for signum in signals:
            if signum == signal.SIGUSR1:
                coordinator.join_late()
                continue
            if coordinator.stopped is not None:
                coordinator.abandon()
                continue
            name = signal.Signals(signum).name
            coordinator.stop(Interrupted(f"stopped by {name}; everything answered is kept", signum=signum))
            with suppress(OSError, ValueError):  # stderr may be closed, and the next signal is obeyed all the same
                tell(f"{name}: waiting for {looks.look().in_flight} calls in flight; once more ends them at once")
