"""What goes on beside a run: the panel that shows it, the status that others can watch, and the signals that stop
it."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio

from profiler.core.errors import Interrupted
from profiler.engine.threads import in_thread
from profiler.storage import status_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from profiler.engine.progress import Snapshot, View
    from profiler.engine.run_resources import RunResources

STATUS_EVERY_S = 1.0

Seen = TypeVar("Seen")


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
    run: Stoppable,
    looks: Seen,
    *,
    status: Callable[[], Mapping[Path, Snapshot]],
    watch: Callable[[Seen], Awaitable[None]] | None,
    signals: Mapping[signal.Signals, Callable[[], None]] | None,
    also: Sequence[Callable[[], Awaitable[None]]] = (),
    tell: Callable[[str], None],
) -> AsyncIterator[None]:
    """Let a run be watched and stopped while the block lasts. `status` says what others are to find in which folder. `signals`
    are those that mean something else than to stop; with None no signal is obeyed. `also` runs beside it."""
    tasks = list(also)
    if watch is not None:
        tasks.append(partial(watch, looks))
    if signals is not None:
        tasks.append(partial(_obey_signals, run, tell=tell, others=signals))
    async with anyio.create_task_group() as around:
        for task in tasks:
            around.start_soon(_beside, run, task)
        around.start_soon(_tell_status, status)
        yield
        around.cancel_scope.cancel()


async def _beside(run: Stoppable, task: Callable[[], Awaitable[None]]) -> None:
    """Do a task beside a run. When it fails (stderr was closed, say), the run ends, but the calls in flight are paid for
    and end first."""
    try:
        await task()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is raised when the last call has ended)
        run.drain(error)


def status_of_all(shared: RunResources, folder: Path) -> Callable[[], dict[Path, Snapshot]]:
    """A function that says how far each experiment is that asks, by its own folder.

    One of many that had not begun when it was called last may be over before anybody looks, so nothing is said of it yet.
    """
    seen: set[View] = set()

    def status() -> dict[Path, Snapshot]:
        nonlocal seen
        views, before = set(shared.overview.views), seen
        seen = views
        return {folder / view.experiment_id: view.look() for view in (views if shared.alone else views & before)}

    return status


async def _tell_status(status: Callable[[], Mapping[Path, Snapshot]]) -> None:
    """Write it down each second, and remove it where there is none any more; at first what a killed command has left."""
    told = set(status())
    try:
        while True:
            await anyio.sleep(STATUS_EVERY_S)
            looks = status()
            if looks or told:
                await in_thread(_write_all, looks, told - looks.keys())
            told = set(looks)
    finally:
        for folder in told:
            status_file.remove(folder)


def _write_all(looks: Mapping[Path, Snapshot], ended: set[Path]) -> None:
    for folder, look in looks.items():
        status_file.write(folder, look)
    for folder in ended:
        status_file.remove(folder)


async def _obey_signals(
    run: Stoppable, *, tell: Callable[[str], None], others: Mapping[signal.Signals, Callable[[], None]]
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
                again = "Ctrl-C again" if signum is signal.SIGINT else f"a second {name}"
                tell(f"{name}: waiting for {run.in_flight} calls in flight; {again} ends them at once")
