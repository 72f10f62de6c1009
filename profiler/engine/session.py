"""One session of an experiment: what it still owes is asked, or taken over from one that has asked the same."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from profiler.core.errors import DatasetError, Problem, StorageError
from profiler.core.one_error import one_error
from profiler.dataset import file
from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool
from profiler.engine.calls.run_clock import RunClock, seconds_since
from profiler.engine.progress import View
from profiler.money.prices import dollars
from profiler.provider.requests import planner_of
from profiler.storage.identity import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from profiler.core.nouns import Dialogue, Record, Request
    from profiler.engine.options import Options
    from profiler.engine.run_resources import RunResources
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget
    from profiler.provider.source import Source
    from profiler.provider.validate import Checked
    from profiler.storage.writing.open_run import OpenRun
    from profiler.storage.writing.writer import Writer

    Read = Callable[[int], AbstractContextManager[Iterator[Dialogue]]]
    Known = Callable[[Request], Record | None]

LOOKED_UP_AT_ONCE = 256  # so many answers of earlier runs are looked up before other tasks get a turn


async def answer_all(
    experiment: Experiment,
    run: OpenRun,
    *,
    options: Options,
    source: Source,
    client: Checked,
    budget: Budget | None,
    shared: RunResources,
    read: Read | None = None,
) -> dict[str, Any] | None:
    """Ask everything that is owed. Returns what kept a live run from going faster.

    `read(number)` opens the dialogues from that one on, where they are not read from the beginning of the dataset's file.
    """
    live = source.mode == "live"
    planner = planner_of(experiment)
    provider = shared.providers.of(experiment)
    if provider.limits is not None and run.answered:
        provider.limits.answered_before()
    machine = AttemptMachine(
        retry=experiment.retry,
        timeout_s=experiment.timeout_s,
        planner=planner,
        limits=provider.limits,
        budget=budget,
        ledger=await shared.aside(run.open_ledger) if live else None,
        times="all" if live else "replies" if source.own else "none",
        clock=RunClock(earlier_s=seconds_since(run.header.started) if run.sessions or read is not None else 0.0),
    )
    writer = run.writer(fields=experiment.output_fields, fsync=options.fsync)
    pool = Pool(client=client, writer=writer, slots=shared.slots_of(experiment), machine=machine)
    view = View(
        experiment_id=experiment.experiment_id,
        source=source,
        total=run.header.count,
        kept=run.kept + run.taken,
        free=run.reused,
        pool=pool,
        writer=writer,
        budget=budget,
    )
    with (
        _told_session(run, pool, writer, budget=budget) if live else nullcontext(),
        _reading(experiment, run, options) if read is None else read(run.first // experiment.repeats) as dialogues,
        one_error(capped=lambda reached: shared.advise(reached, experiment, view)),
    ):
        requests = planner.plan(dialogues, first=run.first)
        with shared.asking(pool, view, folder=run.journal.path.parent, budget=budget):
            async with writer.running():
                owed = _owed(requests, run, writer=writer, dataset_path=experiment.dataset_path)
                await pool.run(owed, count=run.owed)
    if missing := run.owed - writer.done:
        raise RuntimeError(f"{missing} requests were left without an answer; did the client cancel the task it ran in?")
    return pool.bound_by()


async def take_over(
    experiment: Experiment,
    run: OpenRun,
    *,
    options: Options,
    known: Known,
    stopped: Callable[[], Exception | None],
    read: Read | None = None,
) -> None:
    """Take over the answers that are `known` from elsewhere, at no cost; what is not known stays owed. `read` as above."""
    planner = planner_of(experiment)
    writer = run.writer(fields=experiment.output_fields, fsync=options.fsync)
    opened = _reading(experiment, run, options) if read is None else read(run.first // experiment.repeats)
    with opened as dialogues, one_error():
        requests = planner.plan(dialogues, first=run.first)
        async with writer.running():
            owed = _owed(requests, run, writer=writer, dataset_path=experiment.dataset_path)
            for number, request in enumerate(owed, 1):
                if (record := known(request)) is not None:
                    writer.put(record)
                    run.take(request.index)
                if number % LOOKED_UP_AT_ONCE == 0:
                    await writer.make_room()
                    if (reason := stopped()) is not None:
                        raise reason
    run.all_looked_at()


def _reading(experiment: Experiment, run: OpenRun, options: Options) -> AbstractContextManager[Iterator[Dialogue]]:
    """Open the dataset at the first dialogue that lacks an answer."""
    return file.reading(
        experiment.dataset_path,
        start=run.first // experiment.repeats,
        fields=experiment.dataset_fields,
        selection=options.selection,
    )


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
    first, begin, done, put = run.first, run.header.first, run.done, writer.put_request
    asked, index = begin + run.asked, first - 1
    for index, request in enumerate(islice(requests, run.end - first), first):
        if index >= run.end:  # another process has taken over the rest meanwhile
            return
        run.begun = index + 1
        if index >= asked:
            put(request.line)
        if not done[index - begin]:
            yield request
    if index + 1 < run.end:
        repeats = run.header.repeats
        found, expected = (index + 1) // repeats, run.end // repeats
        message = f"found {found} dialogues, expected {expected}: the file changed during the run"
        raise DatasetError([Problem(path=str(dataset_path), message=message, hint="put the old file back to resume")])
