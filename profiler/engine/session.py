"""One session of a run, in which everything happens at once: workers, writer, progress view and signals."""

from __future__ import annotations

import signal
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import BudgetReached, DatasetError, Interrupted, Problem, ProfilerError, StorageError
from profiler.dataset import file
from profiler.engine import descriptors
from profiler.engine.attempt import AttemptMachine
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.limits.rate_gate import RateGate
from profiler.engine.pool import Pool
from profiler.engine.progress import View
from profiler.engine.slots import Slots
from profiler.money.prices import dollars
from profiler.provider.requests import Planner, params_of
from profiler.storage.identity import now

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from profiler.core.nouns import Request
    from profiler.engine.options import Options, Watch
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget
    from profiler.provider.client import Client
    from profiler.provider.source import Source
    from profiler.storage.resume import OpenRun
    from profiler.storage.writer import Writer


async def answer_all(
    experiment: Experiment,
    run: OpenRun,
    *,
    options: Options,
    source: Source,
    client: Client,
    watch: Watch | None,
    tell: Callable[[str], None],
    budget: Budget | None,
) -> dict[str, Any] | None:
    """Ask everything that is owed. Returns what kept a live run from going faster."""
    live = source.mode == "live"
    planner = Planner(params_of(experiment), system=experiment.system)
    concurrency = options.concurrency or experiment.concurrency
    if live:
        concurrency = _room_for(concurrency, tell=tell)
    slots = Slots(concurrency)
    limits = _limits(experiment, run, slots=slots) if live else None
    machine = AttemptMachine(
        retry=experiment.retry,
        timeout_s=experiment.timeout_s,
        planner=planner,
        limits=limits,
        budget=budget,
        ledger=run.open_ledger() if live else None,
        timed=live,
        real_replies=source.own,
    )
    writer = run.writer(fields=experiment.output_fields, fsync=options.fsync)
    pool = Pool(client=client, writer=writer, slots=slots, machine=machine)
    view = View(
        experiment_id=experiment.experiment_id,
        mode=source.mode,
        own_client=source.client,
        total=run.header.count,
        kept=run.kept,
        pool=pool,
        writer=writer,
        budget=budget,
    )
    with (
        _told_session(run, pool, writer, budget=budget) if live else nullcontext(),
        file.reading(experiment.dataset_path, start=run.first, fields=experiment.dataset_fields) as dialogues,
        _one_error(enough=view.enough_usd),
    ):
        requests = planner.plan(dialogues, first=run.first)
        async with writer.running(), anyio.create_task_group() as around:
            if watch is not None:
                around.start_soon(_beside, pool, watch, view)
            if options.signals:
                around.start_soon(_beside, pool, _obey_signals, pool, tell)
            await pool.run(_owed(requests, run, writer=writer, dataset_path=experiment.dataset_path))
            around.cancel_scope.cancel()
    if missing := run.owed - writer.done:
        raise RuntimeError(
            f"{missing} dialogues were left without an answer; did the client cancel the task it ran in?"
        )
    return pool.bound_by()


def _room_for(concurrency: int, *, tell: Callable[[str], None]) -> int:
    room = descriptors.make_room(concurrency)
    if room.warning is not None:
        tell(f"warning: {room.warning}")
    return room.concurrency


def _limits(experiment: Experiment, run: OpenRun, *, slots: Slots) -> ProviderLimits:
    gate = RateGate(experiment.rate_limits)
    limits = ProviderLimits(gate, slots=slots, longest_pause_s=experiment.retry.deadline_s)
    if run.answered:
        limits.answered_before()
    return limits


@contextmanager
def _told_session(run: OpenRun, pool: Pool, writer: Writer, *, budget: Budget | None) -> Iterator[None]:
    """Write into the journal that a session begins and how it ended. A killed one leaves only its beginning."""
    began = {"started": now("live")}
    spent, maybe = (budget.spent, budget.maybe) if budget is not None else (0, 0)
    run.tell_session(began)
    try:
        yield
    finally:
        ended: dict[str, Any] = {**began, "finished": now("live"), "answered": writer.done, "bound_by": pool.bound_by()}
        if budget is not None:
            ended["spent_usd"] = dollars(budget.spent - spent)
            ended["maybe_billed_usd"] = dollars(budget.maybe - maybe)
        with suppress(StorageError):  # the disk may be why the session ends, and that is reported already
            run.tell_session(ended)


def _owed(requests: Iterator[Request], run: OpenRun, *, writer: Writer, dataset_path: Path) -> Iterator[Request]:
    """The requests still to be asked; each one new to the log leaves its line in requests.jsonl."""
    first, count = run.first, run.header.count
    index = first - 1
    for index, request in enumerate(islice(requests, count - first), first):
        if index >= run.asked:
            writer.put_request(request.line)
        if not run.done[index]:
            yield request
    if index + 1 < count:
        message = f"found {index + 1} dialogues, expected {count}: the file changed during the run"
        raise DatasetError([Problem(path=str(dataset_path), message=message, hint="put the old file back to resume")])


async def _beside(pool: Pool, task: Callable[..., Coroutine[Any, Any, None]], *words: Any) -> None:
    """Run a task beside the pool.

    If it fails (stderr was closed, say) the run ends after the calls in flight, which are paid.
    """
    try:
        await task(*words)
    except Exception as error:  # noqa: BLE001 (whatever it is, the pool raises it when its last call has ended)
        pool.drain(error)


async def _obey_signals(pool: Pool, tell: Callable[[str], None]) -> None:
    """The first signal lets the calls in flight end, the second cancels them."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for signum in signals:
            if pool.stopped is not None:
                pool.abandon()
                continue
            name = signal.Signals(signum).name
            pool.drain(Interrupted(f"stopped by {name}; everything answered is kept", signum=signum))
            with suppress(OSError, ValueError):  # stderr may be closed, and the next signal is obeyed all the same
                tell(f"{name}: waiting for {pool.status().in_flight} calls in flight; once more ends them at once")


@contextmanager
def _one_error(*, enough: Callable[[], float | None]) -> Iterator[None]:
    """Raise the one reason for the end of a run instead of the group that task groups raise.

    `enough` gives the cap that would do, for a run that was stopped by its cap.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        first = _first(group)
        if isinstance(first, BudgetReached):
            first.enough_usd = enough()
        raise first from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The reason among several errors: a bug comes before its consequences, then the first that the user can act on."""
    leaves = list(_leaves(group))
    bugs = [error for error in leaves if not isinstance(error, ProfilerError)]
    return (bugs or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
