"""What a worker does: it answers ranges, one after the other and a little overlapping, until nothing is left.

How commands come and reports go is its driver's business. All its ranges share one set of slots, limits and money, so
the tail of one is filled by the next.
"""

from __future__ import annotations

import os
import traceback
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import anyio
import msgspec
from anyio import create_task_group

from profiler.core.errors import Interrupted
from profiler.core.one_error import one_error
from profiler.engine import garbage_collection
from profiler.engine.options import Options
from profiler.engine.run_client import client_of_run
from profiler.engine.run_money import RunMoney, card_of_run
from profiler.engine.run_resources import RunResources
from profiler.engine.threads import in_thread
from profiler.fleet.broker.link import Link, linked
from profiler.fleet.broker.wire import Channel
from profiler.fleet.messages import (
    Abandon,
    Cut,
    Done,
    Drain,
    Ended,
    Finish,
    Grant,
    Job,
    Look,
    Part,
    Status,
    Stopped,
    Told,
    WasCut,
)
from profiler.fleet.workers.granted import Granted
from profiler.fleet.workers.range_candidate import RangeCandidate, Setting
from profiler.metrics.builtin import resolve
from profiler.money.budget import Cap
from profiler.money.prices import dollars
from profiler.provider.source import source_of
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from profiler.engine.agenda import Turn
    from profiler.engine.progress import View
    from profiler.fleet.broker.link import Ask
    from profiler.fleet.messages import Command, Report
    from profiler.provider.validate import Checked
    from profiler.storage.reuse.answers import Answers

STATUS_EVERY_S = 0.25
SUCCESSOR_EVERY_S = 1.0
SIGTERM = 15


class Worker:
    """One worker. `send` takes what it reports; `ask` brings a message to the broker, where that is not done over TCP."""

    def __init__(self, job: Job, *, send: Callable[[Report], None], ask: Ask | None = None) -> None:
        experiment = msgspec.structs.replace(job.experiment, max_cost_usd=None)
        self._job = job
        self._send = send
        self._error: BaseException | None = None
        self._leaves = False
        self._bound_by: dict[str, Any] | None = None
        self._granted = Granted(experiment, send=send)
        self._experiment = experiment
        self._options = Options(
            mode=job.mode,
            lane=job.lane,
            search_path=job.search_path,
            concurrency=job.concurrency,
            fsync=job.fsync,
            retry_failed=job.retry_failed,
        )
        self._channel: Channel | None
        self._link: Link | None
        self._channel, self._link = _link_of(job, ask, tell=self._tell)
        cap = None if job.cap is None else Cap.of(job.cap)
        if self._link is not None:
            cap = self._link.cap
        self._shared = RunResources(
            [experiment],
            options=self._options,
            tell=self._tell,
            money=RunMoney(self._options, cap=cap),
            dialogues={},
            in_parts=True,
            allowance=self._link,
        )

    def _tell(self, line: str) -> None:
        self._send(Told(line))

    async def run(self, commands: AsyncIterator[Command]) -> None:
        """Answer ranges until nothing is left, or an error stops it. When the commands end, there is nobody left to
        work for."""
        try:
            with garbage_collection.made_rare(), one_error():
                async with self._channel or nullcontext(), nullcontext() if self._link is None else linked(self._link):
                    await self._run(commands)
        except Exception as error:  # noqa: BLE001 (whatever it is, the coordinator tells it)
            self._stop(error)
        if self._error is not None and not isinstance(self._error, Interrupted):
            with suppress(OSError):  # a full disk, perhaps, which is what the error says
                traceback.print_exception(self._error)  # for the log of this worker
        stopped = None if self._error is None else Stopped.of(self._error)
        self._send(Ended(bound_by=self._bound_by, error=stopped))

    async def _run(self, commands: AsyncIterator[Command]) -> None:
        shared, tell = self._shared, self._tell_first
        given = client_of_run(self._experiment, None, clients=shared.clients, options=self._options, tell=tell)
        async with shared.clients, given as client:
            with _known_answers(self._job) as known:
                await self._answer_ranges(commands, self._setting(client, known))

    def _setting(self, client: Checked, known: Answers | None) -> Setting:
        folders = RangeFolders(Path(self._job.folder))
        table = folders.table()
        assert table is not None  # noqa: S101 (it is there before there are workers)
        experiment, options = self._experiment, self._options
        return Setting(
            experiment=experiment,
            options=options,
            source=source_of(experiment, mode=self._job.mode, environ=os.environ),
            card=card_of_run(experiment, mode=self._job.mode, cap_usd=None),
            metrics=resolve(experiment.metrics, search_path=options.plugins_folder, pass_at=experiment.pass_at),
            table=table,
            folders=folders,
            client=client,
            shared=self._shared,
            counting=anyio.CapacityLimiter(1),
            tell=self._tell,
            known=None if known is None else known.find,
            boot=self._job.boot,
        )

    async def _answer_ranges(self, commands: AsyncIterator[Command], setting: Setting) -> None:
        async with create_task_group() as beside:
            beside.start_soon(self._obey, commands, setting)
            beside.start_soon(self._tell_status)
            beside.start_soon(self._look_for_successors)
            async with create_task_group() as ranges:
                while (turn := await self._shared.next_of(self._granted)) is not None:
                    ranges.start_soon(self._answer, turn)
            self._send(self._status())
            beside.cancel_scope.cancel()

    def _tell_first(self, line: str) -> None:
        """What the client says of itself is the same for all workers."""
        if self._job.worker == 0:
            self._tell(line)

    async def _answer(self, turn: Turn) -> None:
        candidates = self._granted.candidates
        candidate = candidates[int(turn.experiment.experiment_id)]
        with self._shared.under_way(turn):
            try:
                await candidate.run()
            except Exception as error:  # noqa: BLE001 (it ends this worker when the calls of its other ranges have ended)
                self._stop(error)
            else:
                self._send(
                    Done(
                        first=candidate.first,
                        end=candidate.end,
                        won=candidate.won,
                        money=candidate.money,
                        taken=candidate.taken,
                    )
                )
            finally:
                self._bound_by = candidate.bound_by or self._bound_by
                del candidates[candidate.first]

    def _stop(self, error: BaseException) -> None:
        self._error = self._error or error
        if isinstance(error, Exception):
            self._shared.drain(error)

    async def _obey(self, commands: AsyncIterator[Command], setting: Setting) -> None:
        async for command in commands:
            match command:
                case Grant():
                    candidate = RangeCandidate(command, name=str(command.first), setting=setting)
                    self._granted.add(candidate, command)
                    self._shared.look_again()
                case Cut():
                    self._cut(command)
                case Finish():
                    self._granted.finish()
                    self._shared.look_again()
                case Drain():
                    self._stop(Interrupted("stopped", signum=SIGTERM))
                case Abandon():
                    self._stop(Interrupted("stopped", signum=SIGTERM))
                    self._shared.abandon()
                case Job() | Look():  # those come first, and only once
                    pass
                case _:
                    assert_never(command)
        self._stop(Interrupted("nobody is left to work for", signum=SIGTERM))

    @property
    def done(self) -> bool:
        """Whether it has ended because nothing was left: not by an error, and nobody asked it to leave."""
        return self._error is None and not self._leaves

    def leave(self) -> None:
        """End what is begun, and leave everything else to the others."""
        self._leaves = True
        for candidate in self._granted.candidates.values():
            self._send(WasCut(candidate.first, candidate.cut(keep=0)))
        self._granted.finish()
        self._shared.look_again()

    def _cut(self, command: Cut) -> None:
        """What is committed already, or was lost, has no rest."""
        candidate = self._granted.candidates.get(command.first)
        if candidate is not None:
            self._send(WasCut(command.first, candidate.cut(keep=command.keep)))

    async def _tell_status(self) -> None:
        while True:
            await anyio.sleep(STATUS_EVERY_S)
            self._send(self._status())

    async def _look_for_successors(self) -> None:
        """Begin nothing more once this process has been taken for dead: it would be paid twice."""
        while True:
            await anyio.sleep(SUCCESSOR_EVERY_S)
            for candidate in list(self._granted.candidates.values()):
                if await in_thread(candidate.overtaken):
                    self._stop(Interrupted("another process goes on with what this one has begun", signum=SIGTERM))

    def _status(self) -> Status:
        look = self._shared.overview.look()
        views = {view.experiment_id: view for view in self._shared.overview.views}
        parts = [_part(candidate, views.get(candidate.name)) for candidate in self._granted.candidates.values()]
        return Status(
            parts=parts,
            answered=look.done,
            in_flight=look.in_flight,
            slots=self._shared.providers.of(self._experiment).slots.limit,
            backing_off=look.backing_off,
            retried=look.retried,
            failures=look.failures,
            held_up_by=look.held_up_by,
        )


def _link_of(job: Job, ask: Ask | None, *, tell: Callable[[str], None]) -> tuple[Channel | None, Link | None]:
    lender = job.broker
    if lender is None:
        return None, None
    channel = Channel(lender.url, token=lender.token) if ask is None else None
    asked = channel.ask if channel is not None else ask
    if asked is None:
        raise AssertionError("one of the two carries the messages")
    root = RangeFolders(Path(job.folder)).root
    return channel, Link(asked, who=lender.who, root=root, capped=lender.capped, alone=lender.alone, tell=tell)


def _known_answers(job: Job) -> AbstractContextManager[Answers | None]:
    if job.known_answers is None:
        return nullcontext()
    from profiler.storage.reuse.answers import saved_answers  # noqa: PLC0415 (it stands on sqlite, which no other run needs)

    return saved_answers(Path(job.known_answers))


def _part(candidate: RangeCandidate, view: View | None) -> Part:
    if view is None:  # its folder is not open yet, or it is being counted
        spent, maybe = dollars(candidate.money.spent), dollars(candidate.money.maybe)
        return Part(candidate.first, candidate.begun, candidate.begun - candidate.first, spent, maybe)
    look, before = view.look(), candidate.inherited
    spent, maybe = (
        (look.cost_usd or 0.0) - dollars(before.spent),
        (look.maybe_billed_usd or 0.0) - dollars(before.maybe),
    )
    return Part(candidate.first, candidate.begun, look.done, spent, maybe)
