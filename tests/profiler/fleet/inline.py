"""Workers as tasks of the test's own event loop: the real worker, spoken to over streams instead of pipes."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from profiler.fleet.drivers.driver import Lost
from profiler.fleet.drivers.local_broker import LocalBroker, LocalBrokers
from profiler.fleet.messages import Job, as_line, command_of, report_of
from profiler.fleet.workers.range_worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from profiler.fleet.broker.settings import BrokerSettings
    from profiler.fleet.messages import Command, Report


class InlineDriver:
    """What is said passes through bytes, as it does between processes. `on_report` may do something about it. A worker that
    is `mute` goes on and is not heard, and without `reach` it cannot be ended either."""

    on_this_machine = True
    patience_s = 60.0
    reach = True

    def __init__(self, tasks: TaskGroup) -> None:
        self.started: list[int] = []
        self.mute: set[int] = set()
        self.commands: list[tuple[int, Command]] = []
        self.on_report: Callable[[int, Report], object] = lambda _, __: None
        self.change_job: Callable[[Job], Job] = lambda job: job
        self._tasks = tasks
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._inboxes: dict[int, MemoryObjectSendStream[Any]] = {}
        self._brokers = LocalBrokers()
        self._say, self._said = anyio.create_memory_object_stream[tuple[int, Any]](math.inf)

    def start(self, worker: int) -> None:
        self.started.append(worker)
        self._inboxes[worker], inbox = anyio.create_memory_object_stream[Any](math.inf)
        self._scopes[worker] = anyio.CancelScope()
        self._tasks.start_soon(self._work, worker, inbox)

    async def _work(self, worker: int, inbox: Any) -> None:
        def send(report: Report) -> None:
            if not scope.cancel_called:  # the dead say nothing
                self.on_report(worker, report)
                if worker in self.mute:
                    return
                self._say.send_nowait((worker, report_of(as_line(report))))

        with self._scopes[worker] as scope, inbox:
            job = await inbox.receive()
            assert isinstance(job, Job)
            await Worker(self.change_job(job), send=send).run(inbox)
        self._say.send_nowait(
            (worker, Lost("was ended by SIGKILL" if scope.cancel_called else "ended", "its last words"))
        )

    async def poll(self) -> tuple[int, Report | Lost]:
        return await self._said.receive()

    def tell(self, worker: int, command: Command) -> None:
        self.commands.append((worker, command))
        with suppress(anyio.BrokenResourceError):  # what is said to the dead is lost
            self._inboxes[worker].send_nowait(command_of(as_line(command)))

    def stop(self, worker: int) -> None:
        if self.reach:
            self._scopes[worker].cancel()

    async def broker(self, folder: Path, settings: BrokerSettings) -> LocalBroker:
        return await self._brokers.broker(folder, settings)

    def close(self) -> None:
        for inbox in self._inboxes.values():
            inbox.close()
        self._brokers.close()
        self._say.close()
        self._said.close()


def arranged(arrange: Callable[[InlineDriver], object]) -> Callable[[Path], AbstractAsyncContextManager[InlineDriver]]:
    """Inline workers, with something prepared."""

    @asynccontextmanager
    async def driver(logs: Path) -> AsyncIterator[InlineDriver]:
        async with inline(logs) as found:
            arrange(found)
            yield found

    return driver


@asynccontextmanager
async def inline(_: Path) -> AsyncIterator[InlineDriver]:
    async with anyio.create_task_group() as tasks:
        driver = InlineDriver(tasks)
        try:
            yield driver
        finally:
            tasks.cancel_scope.cancel()
            driver.close()
