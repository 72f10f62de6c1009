"""What goes on beside a run: the panel that shows it, the status that others can watch, and the signals that stop
it."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import anyio

from profiler.core.errors import Interrupted
from profiler.engine.threads import in_thread
from profiler.storage import status_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from profiler.engine.options import Options, Watch
    from profiler.engine.progress import Snapshot, View
    from profiler.engine.run_resources import RunResources

STATUS_EVERY_S = 1.0


class Stoppable(Protocol):
    """What a signal stops: the experiments of this process, or the workers of a run by several."""

    @property
    def stopped(self) -> Exception | None: ...
    @property
    def in_flight(self) -> int: ...
    def drain(self, reason: Exception) -> None: ...
    def abandon(self) -> None: ...


@asynccontextmanager
async def onlooking(
    shared: RunResources, *, options: Options, watch: Watch | None, tell: Callable[[str], None]
) -> AsyncIterator[None]:
    async with anyio.create_task_group() as around:
        if watch is not None:
            around.start_soon(beside, shared, partial(watch, shared.overview))
        around.start_soon(_tell_status, shared, options)
        if options.signals:
            around.start_soon(beside, shared, partial(obey_signals, shared, tell=tell))
        yield
        around.cancel_scope.cancel()


async def beside(run: Stoppable, task: Callable[[], Awaitable[None]]) -> None:
    """Do a task beside a run. When it fails (stderr was closed, say), the run ends, but the calls in flight are paid for
    and end first."""
    try:
        await task()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is raised when the last call has ended)
        run.drain(error)


async def _tell_status(shared: RunResources, options: Options) -> None:
    """Say each second, in the folder of each experiment that asks, how far it is.

    One of many that had not begun a second ago may be over before anybody looks, so nothing is said of it yet.
    """
    told: set[Path] = set()
    seen: set[View] = set()
    try:
        while True:
            await anyio.sleep(STATUS_EVERY_S)
            views = set(shared.overview.views)
            looks = {
                options.folder / view.experiment_id: view.look() for view in (views if shared.alone else views & seen)
            }
            if looks or told:
                await in_thread(_write_all, looks, told - looks.keys())
            told, seen = set(looks), views
    finally:
        for folder in told:
            status_file.remove(folder)


def _write_all(looks: dict[Path, Snapshot], ended: set[Path]) -> None:
    for folder, look in looks.items():
        status_file.write(folder, look)
    for folder in ended:
        status_file.remove(folder)


async def obey_signals(
    run: Stoppable,
    *,
    tell: Callable[[str], None],
    others: Mapping[signal.Signals, Callable[[], None]] = MappingProxyType({}),
) -> None:
    """The first signal lets the calls in flight end, the second does not wait for them; `others` mean something else."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, *others) as signals:
        async for signum in signals:
            if signum in others:
                others[signum]()
                continue
            if run.stopped is not None:
                run.abandon()
                continue
            name = signum.name
            run.drain(Interrupted(f"stopped by {name}; everything answered is kept", signum=signum))
            with suppress(OSError, ValueError):  # stderr may be closed, and the next signal is obeyed all the same
                tell(f"{name}: waiting for {run.in_flight} calls in flight; once more ends them at once")
