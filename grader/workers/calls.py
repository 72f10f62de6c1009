"""Hires a crew for as long as there is something to do, here or on a cluster, and ends it when a signal says so."""

from __future__ import annotations

import signal
import tempfile
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import anyio

from grader.workers.crew import Crew
from grader.workers.messages import GRADES
from profiler.fleet.drivers.process_driver import processes_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from contextlib import AbstractAsyncContextManager

    from grader.workers.crew import Heard
    from grader.workers.messages import Assignment, Report
    from profiler.fleet.drivers.driver import Workers

    Hire = Callable[[], AbstractAsyncContextManager[Workers[Assignment, Report]]]

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signalled(KeyboardInterrupt):
    """A signal has ended the work. Like KeyboardInterrupt, so that everything is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@asynccontextmanager
async def on_this_machine() -> AsyncIterator[Workers[Assignment, Report]]:
    with tempfile.TemporaryDirectory(prefix="grader-", ignore_cleanup_errors=True) as logs:
        async with processes_of(GRADES, Path(logs)) as workers:
            yield workers


def call_all(
    function: str,
    given: Iterable[bytes],
    *,
    heard: Heard,
    hire: Hire,
    size: int,
    ahead: int | None = None,
) -> None:
    """Hire a crew for these calls, and wait for all of them. The first signal ends what runs, and the second does not wait
    for its end. What `heard` and `hire` raise comes out of here as it is."""

    async def run() -> None:
        scope = anyio.CancelScope()
        with _signals() as signals:
            async with anyio.create_task_group() as tasks:
                async with hire() as workers:
                    crew = Crew(workers, size=size, ahead=ahead)
                    tasks.start_soon(_watch, signals, scope, crew, got)
                    with scope:
                        await crew.run(function, given, heard=heard)
                tasks.cancel_scope.cancel()

    got: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        anyio.run(run)
    except BaseExceptionGroup as group:
        _raise_first(group)
    finally:
        if _may_listen():  # the event loop leaves those of the interpreter behind
            for number, handler in before.items():
                signal.signal(number, handler)
    if got:
        raise Signalled(got[0])


async def _watch(signals: AsyncIterator[int], scope: anyio.CancelScope, crew: Crew, got: list[int]) -> None:
    async for number in signals:
        got.append(number)
        if len(got) == 1:
            scope.cancel()
        else:
            crew.stop()


@contextmanager
def _signals() -> Iterator[AsyncIterator[int]]:
    """Those that anybody wants to be heard: under nohup SIGHUP is not."""
    wanted = [number for number in SIGNALS if _may_listen() and signal.getsignal(number) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*wanted) as signals:
        yield signals


def _may_listen() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raise_first(error: BaseException) -> NoReturn:
    """The error itself, from within the groups that tasks wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error
