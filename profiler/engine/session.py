"""Everything of a run that happens at once: workers, writers, the onlooker and the signals.

Comes in: an open run directory and a client. Goes out: a directory in which nothing is owed any more, or the one
reason why not. Knows nothing of identities, metrics or summaries.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import DatasetError, Interrupted, Problem, ProfilerError
from profiler.dataset import file
from profiler.engine.attempt import AttemptMachine
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.limits.rate_gate import RateGate
from profiler.engine.pool import Pool
from profiler.engine.progress import View
from profiler.engine.slots import Slots
from profiler.provider.requests import Planner, params_of
from profiler.storage import ledger, resume
from profiler.storage.writer import OrderedLog, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from profiler.core.nouns import Request
    from profiler.engine.options import Options, Watch
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget
    from profiler.provider.client import Client
    from profiler.storage.journal import Header
    from profiler.storage.resume import Standing


async def answer_all(
    experiment: Experiment,
    header: Header,
    standing: Standing,
    *,
    options: Options,
    client: Client,
    watch: Watch | None,
    tell: Callable[[str], None],
    budget: Budget | None,
) -> dict[str, Any] | None:
    """Ask all that is owed. Returns what kept a live run from going faster."""
    planner = Planner(params_of(experiment), system=experiment.system)
    writer = Writer(
        requests=standing.requests,
        journal=standing.journal,
        order=standing.order,
        responses=OrderedLog(
            standing.requests.path.with_name(resume.RESPONSES),
            size=standing.responses_size,
            fields=experiment.output_fields,
        ),
        fsync=options.fsync,
    )
    live = options.mode == "live"
    slots = Slots(options.concurrency or experiment.concurrency)
    limits = None
    if live:
        gate = RateGate(experiment.rate_limits)
        limits = ProviderLimits(gate, slots=slots, longest_pause_s=experiment.retry.deadline_s)
    machine = AttemptMachine(
        retry=experiment.retry,
        timeout_s=experiment.timeout_s,
        planner=planner,
        limits=limits,
        budget=budget,
        timed=live,
    )
    pool = Pool(client=client, writer=writer, slots=slots, machine=machine)
    view = View(
        experiment_id=experiment.experiment_id,
        mode=options.mode,
        total=header.count,
        kept=standing.kept,
        pool=pool,
        writer=writer,
        budget=budget,
    )
    folder = standing.journal.path.parent
    with (
        ledger.keeping(folder, budget, recorded=lambda: standing.cost + pool.recorded_cost, enough=view.enough_usd),
        file.reading(experiment.dataset_path, start=standing.first) as dialogues,
        _one_error(),
    ):
        requests = planner.plan(dialogues, first=standing.first)
        async with writer.running(), anyio.create_task_group() as around:
            if watch is not None:
                around.start_soon(watch, view)
            if options.signals:
                around.start_soon(_obey_signals, pool, tell)
            await pool.run(_owed(requests, header, standing, writer=writer, dataset_path=experiment.dataset_path))
            around.cancel_scope.cancel()
    if missing := header.count - standing.kept - writer.done:
        raise RuntimeError(
            f"{missing} dialogues were left without an answer; did the client cancel the task it ran in?"
        )
    return pool.bound_by()


def _owed(
    requests: Iterator[Request], header: Header, standing: Standing, *, writer: Writer, dataset_path: Path
) -> Iterator[Request]:
    """The requests still to be asked; each leaves its line in requests.jsonl on its way."""
    index = standing.first - 1
    for index, request in enumerate(islice(requests, header.count - standing.first), standing.first):
        if index >= standing.asked:
            writer.put_request(request.line)
        if not standing.done[index]:
            yield request
    if index + 1 < header.count:
        message = f"found {index + 1} dialogues, expected {header.count}: the file changed during the run"
        raise DatasetError([Problem(path=str(dataset_path), message=message, hint="put the old file back to resume")])


async def _obey_signals(pool: Pool, tell: Callable[[str], None]) -> None:
    """The first signal lets the calls in flight end, the second does not wait for them."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for signum in signals:
            if pool.stopped is not None:
                pool.abandon()
                continue
            name = signal.Signals(signum).name
            tell(f"{name}: waiting for {pool.status().in_flight} calls in flight; once more ends them at once")
            pool.drain(Interrupted(f"stopped by {name}; everything answered is kept", signum=signum))


@contextmanager
def _one_error() -> Iterator[None]:
    """Task groups raise groups; a run has one reason to end, and it is the first of them."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The reason among the errors: a crash before what it caused, then what the user can act on."""
    leaves = list(_leaves(group))
    bugs = [error for error in leaves if not isinstance(error, ProfilerError)]
    return (bugs or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
