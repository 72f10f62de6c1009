"""A worker as a process of its own: commands on stdin, reports on stdout, everything else on stderr, its log.

It is started by the process driver: `python -m profiler.fleet.workers.worker`.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import create_task_group

from profiler.dataset.slices import look_at
from profiler.engine.loop import loop_options
from profiler.fleet.messages import Job, Look, Looked, as_line, command_of
from profiler.fleet.pipes import lines_from, write_all
from profiler.fleet.workers.range_worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from profiler.fleet.messages import Command, Report

STDIN, STDOUT, STDERR = 0, 1, 2


def main() -> int:
    # Code of the user's own may print: what it says goes to the log, and does not come between the reports.
    reports = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    faulthandler.register(signal.SIGUSR2, all_threads=False)  # when we hang, our log says where
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells everybody, and the coordinator tells us
    while (job := _job(reports)) is not None:
        options = loop_options([job.experiment], live=job.mode == "live")
        if not anyio.run(_work, job, reports, backend_options=options):
            break
    return 0


def _job(reports: int) -> Job | None:
    """Wait for a job; None when there is none any more. Before it the coordinator may have slices of the dataset to look at."""
    os.set_blocking(STDIN, True)
    while (line := _line()) is not None:
        match command_of(line):
            case Job() as job:
                return job
            case Look() as look:
                found = look_at(Path(look.dataset), look.part, hashes=Path(look.hashes))
                write_all(reports, as_line(Looked(found)))
            case _:  # for a job that had ended when this was said
                pass
    return None


def _line() -> bytes | None:
    """Read byte by byte: what follows the line is for the event loop."""
    line = bytearray()
    while byte := os.read(STDIN, 1):
        if byte == b"\n":
            return bytes(line)
        line += byte
    return None


async def _work(job: Job, reports: int) -> bool:
    """Do a job. Returns whether another one may follow."""
    alone = False

    def send(report: Report) -> None:
        nonlocal alone
        if alone:
            return
        try:
            write_all(reports, as_line(report))
        except BrokenPipeError:  # the coordinator is gone; the end of its commands tells us to stop
            alone = True

    worker = Worker(job, send=send)
    async with create_task_group() as beside:
        beside.start_soon(_leave_when_asked, worker)
        await worker.run(_commands())
        beside.cancel_scope.cancel()
    return worker.done and not alone


async def _leave_when_asked(worker: Worker) -> None:
    """SIGTERM to a worker alone asks it to leave the work to the others."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            worker.leave()


async def _commands() -> AsyncIterator[Command]:
    async for line in lines_from(STDIN):
        yield command_of(line)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # what is left (threads of a client, say) has nothing to keep
