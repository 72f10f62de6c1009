"""Workers as plain processes of this machine, spoken to over pipes."""

from __future__ import annotations

import math
import os
import secrets
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic

import anyio
from anyio import create_task_group

from profiler.engine.threads import in_thread
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.drivers.local_broker import LocalBroker, LocalBrokers
from profiler.fleet.messages import ANSWERS_RANGES, LAST_LINES, Command, Report
from profiler.fleet.pipes import lines_from, write_all
from profiler.fleet.program import Heard, Program, Told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from anyio.abc import TaskGroup

    from profiler.fleet.broker.settings import BrokerSettings

LAST_BYTES = 8_192
ENDING_S = 10.0
LAST_WORDS_S = 0.5


class ProcessDriver(Generic[Told, Heard]):
    """`logs` is a folder for what workers say besides their reports."""

    on_this_machine = True
    patience_s = 60.0  # they cannot be out of reach, but code of the user's own may block them for a while

    def __init__(
        self, program: Program[Told, Heard], logs: Path, *, tasks: TaskGroup, environ: Mapping[str, str]
    ) -> None:
        self._program = program
        self._environ = environ
        self._logs = logs
        self._tasks = tasks
        self._hash_seed = str(secrets.randbelow(1 << 32))  # they hash alike, see `Duplicates.save`
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._brokers = LocalBrokers()
        self._say, self._said = anyio.create_memory_object_stream[tuple[int, Any]](math.inf)

    def start(self, worker: int) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._log_of(worker).open("ab") as log:
            self._processes[worker] = subprocess.Popen(  # noqa: S603 (a program of ours)
                [sys.executable, "-P", "-m", self._program.module],  # -P: nothing from the folder that we are in
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={
                    "PYTHONHASHSEED": self._hash_seed,
                    **self._environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
                start_new_session=True,  # Ctrl-C reaches the coordinator, which tells the others
            )
        self._tasks.start_soon(self._listen, worker)

    async def poll(self) -> tuple[int, Heard | Lost]:
        return await self._said.receive()

    def tell(self, worker: int, command: Told) -> None:
        process = self._processes.get(worker)
        if process is not None and process.stdin is not None:
            with suppress(BrokenPipeError):
                write_all(process.stdin.fileno(), self._program.line_of(command))

    def stop(self, worker: int) -> None:
        """Before it is killed it may write down where it hangs: that stands in its log then."""
        if (process := self._processes.get(worker)) is not None:
            process.send_signal(signal.SIGUSR2)
            self._tasks.start_soon(self._kill_soon, process)

    async def _kill_soon(self, process: subprocess.Popen[bytes]) -> None:
        await anyio.sleep(LAST_WORDS_S)
        process.kill()

    async def broker(self, folder: Path, settings: BrokerSettings) -> LocalBroker:
        return await self._brokers.broker(folder, settings)

    async def _listen(self, worker: int) -> None:
        process = self._processes[worker]
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        async for line in lines_from(process.stdout.fileno()):
            self._say.send_nowait((worker, self._program.report_of(line)))
        code = await in_thread(process.wait)
        if not self._close(worker):
            return  # the driver has been closed meanwhile, and nobody listens to it any more
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._say.send_nowait((worker, Lost(how, _last_lines(self._log_of(worker)))))

    def _close(self, worker: int) -> bool:
        """Close a worker's pipes. Returns False if that was done before."""
        if (process := self._processes.pop(worker, None)) is None:
            return False
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return True

    def _log_of(self, worker: int) -> Path:
        return self._logs / f"worker-{worker}.log"

    async def ended(self) -> None:
        """Wait until all have ended, which they do when their commands end."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in list(self._processes.values()):
            await in_thread(process.wait)

    def close(self) -> None:
        """Leave no process behind: kill those that have not ended by themselves."""
        for worker, process in list(self._processes.items()):
            process.kill()
            process.wait()
            self._close(worker)
        self._brokers.close()
        self._say.close()
        self._said.close()


def processes(logs: Path) -> AbstractAsyncContextManager[ProcessDriver[Command, Report]]:
    """Workers that answer the ranges of a run."""
    return processes_of(ANSWERS_RANGES, logs)


@asynccontextmanager
async def processes_of(
    program: Program[Told, Heard], logs: Path, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[ProcessDriver[Told, Heard]]:
    """Workers of any program, with our own environment or another."""
    async with create_task_group() as tasks:
        driver = ProcessDriver(program, logs, tasks=tasks, environ=os.environ if environ is None else environ)
        try:
            yield driver
        finally:
            tasks.cancel_scope.cancel()
            with anyio.move_on_after(ENDING_S, shield=True):
                await driver.ended()
            driver.close()


def _last_lines(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LAST_LINES:])
