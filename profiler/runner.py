"""The whole story of a run: manifest → dataset → plan → pool → journal → ordered logs → reduction → summary.

Comes in: one experiment and how to run it. Goes out: its summary, and a run directory that holds only
the three files. Knows nothing of terminals; every step lives in the module it is imported from.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import signal
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec

from profiler import __version__, dataset, journal, ledger, own, resume, summary
from profiler.clients import Checked, Lane, open_client
from profiler.errors import DatasetError, Interrupted, Problem, ProfilerError, RunDirectoryError, UsageError
from profiler.gate import Gate
from profiler.journal import Header
from profiler.manifest import snapshot
from profiler.metrics import resolve
from profiler.model import Mode
from profiler.plan import Planner, params_of
from profiler.pool import Pool
from profiler.progress import View
from profiler.reduce import reduce_logs
from profiler.writer import Fsync, OrderedLog, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    from profiler.budget import Budget
    from profiler.clients import Client
    from profiler.metrics import Metric
    from profiler.model import Request
    from profiler.resume import Standing
    from profiler.settings import Experiment

    Watch = Callable[[View], Coroutine[Any, Any, None]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run, as opposed to what: nothing here changes what is asked or answered."""

    output_dir: Path = Path("runs")
    mode: Mode = "mock"
    lane: Lane | None = None
    manifest_sha256: str | None = None
    search_path: Path | None = None
    limit: int | None = None
    concurrency: int | None = None
    max_cost_usd: float | None = None
    fresh: bool = False
    retry_failed: bool = False
    fsync: Fsync = "interval"
    signals: bool = False


DEFAULTS = Options()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A complete run, and which of its thresholds were missed."""

    folder: Path
    summary: dict[str, Any]
    answered_now: int
    kept: int
    elapsed_s: float
    missed: list[str]


async def run(
    experiment: Experiment,
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> Result:
    """Run one experiment to its end, or to a `ProfilerError` after which the same call resumes it."""
    begun = time.perf_counter()
    tell = note or _silent
    cap_usd = experiment.max_cost_usd if options.max_cost_usd is None else options.max_cost_usd
    card = ledger.card_of_run(experiment, mode=options.mode, cap_usd=cap_usd)
    folder = options.output_dir / experiment.experiment_id
    metrics = resolve(experiment.metrics, search_path=options.search_path)
    with _own_folder(folder, fresh=options.fresh, tell=tell):
        resume.sweep(folder)
        before = resume.earlier(folder) or _complete(folder)
        header = _header(experiment, options=options, before=before)
        if before is not None and before.complete:
            resume.refuse_other(folder, before.identity, header.identity)
            done = summary.read(folder)
            if not (options.retry_failed and done["counts"].get("error")):
                if done["run"].get("metrics") != list(experiment.metrics):
                    done = _count_again(folder, done["run"], experiment, metrics)
                    tell("the manifest names other metrics: counted again from the logs")
                return Result(
                    folder=folder,
                    summary=done,
                    answered_now=0,
                    kept=header.count,
                    elapsed_s=0.0,
                    missed=_missed(experiment, metrics, done),
                )
            if card is not None:
                ledger.carry_over(folder, done)
            resume.reopen(folder, header)
        async with _client(experiment, client, options=options, tell=tell) as asked:
            standing = resume.open_standing(
                folder, header, retry_failed=options.retry_failed, sync=options.fsync != "off"
            )
            try:
                billed = ledger.cut_off(folder, standing) if options.mode == "live" else 0
                resumed = {"kept": standing.kept, "maybe_billed": billed}
                _tell_standing(standing, header, resumed, tell=tell)
                budget = None
                if card is not None:
                    reopened = before is not None and before.complete
                    budget = ledger.begin(
                        folder, card, standing, experiment=experiment, cap_usd=cap_usd, reopened=reopened
                    )
                bound_by = await _answer_all(
                    experiment, header, standing, options=options, client=asked, watch=watch, tell=tell, budget=budget
                )
            finally:
                standing.close()
        reduction = reduce_logs(folder, metrics)
        facts = _facts(experiment, header, options=options, resumed=resumed, bound_by=bound_by, budget=budget)
        result = summary.build(reduction, facts)
        summary.write(folder / resume.SUMMARY, result)
        ledger.remove(folder)
        resume.finish(folder, sync=options.fsync != "off")
    return Result(
        folder=folder,
        summary=result,
        answered_now=header.count - standing.kept,
        kept=standing.kept,
        elapsed_s=time.perf_counter() - begun,
        missed=_missed(experiment, metrics, result),
    )


def run_sync(
    experiment: Experiment,
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> Result:
    """`run` for code without an event loop: starts one, and ends it."""
    if _loop_is_running():
        raise UsageError(
            "run_sync cannot be used while an event loop is running, as it is in a notebook",
            hint="write `await profiler.run(experiment)` instead",
        )
    return anyio.run(
        lambda: run(experiment, options=options, client=client, watch=watch, note=note),
        backend_options=_loop_options(experiment, options),
    )


def _loop_options(experiment: Experiment, options: Options) -> dict[str, bool]:
    """uvloop halves what a call that waits costs; one that does not wait hardly touches the loop, and importing
    uvloop takes time."""
    waits = options.mode == "live" or experiment.mock.latency.median_s > 0 or experiment.client is not None
    return {"use_uvloop": waits and importlib.util.find_spec("uvloop") is not None}


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _answer_all(
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
    """Everything that happens at once: workers, writers, the onlooker and the signals."""
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
    pool = Pool(
        client=client,
        planner=planner,
        writer=writer,
        concurrency=options.concurrency or experiment.concurrency,
        timeout_s=experiment.timeout_s,
        retry=experiment.retry,
        gate=Gate(experiment.rate_limits) if options.mode == "live" else None,
        timed=options.mode == "live",
        budget=budget,
    )
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
        dataset.reading(experiment.dataset_path, start=standing.first) as dialogues,
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


@contextmanager
def _own_folder(folder: Path, *, fresh: bool, tell: Callable[[str], None]) -> Iterator[None]:
    if fresh and folder.exists():
        with resume.locked(folder):
            if aside := resume.move_aside(folder):
                tell(f"moved the earlier run to {aside}")
    with resume.locked(folder):
        yield


def _header(experiment: Experiment, *, options: Options, before: resume.Earlier | None) -> Header:
    """What this run is. A dataset that an earlier run has checked is only hashed again."""
    sha256 = dataset.fingerprint(experiment.dataset_path) if before is not None else None
    if before is not None and sha256 == before.identity.get("dataset_sha256"):
        count = before.count
    else:
        survey = dataset.survey(experiment.dataset_path, limit=options.limit)
        count, sha256 = survey.count, survey.sha256
    answers = experiment.mock.responses_path
    identity = {
        **snapshot(experiment),
        "mode": options.mode,
        "limit": options.limit,
        "dataset_sha256": sha256,
        "mock_responses_sha256": dataset.fingerprint(answers) if answers and options.mode == "mock" else None,
    }
    return Header(journal=journal.FORMAT, count=count, identity=identity, started=_now(options.mode))


def _complete(folder: Path) -> resume.Earlier | None:
    """The finished run in this folder, if its summary says enough of it."""
    if not (folder / resume.SUMMARY).exists():
        return None
    facts = summary.read(folder)["run"]
    count, identity = facts.get("dialogues"), facts.get("identity")
    if type(count) is not int or not isinstance(identity, dict):
        raise RunDirectoryError(
            f"{folder}: holds the summary of a run that does not say what it asked",
            hint="choose another --output-dir, or use --fresh to move it aside",
        )
    return resume.Earlier(count=count, identity=identity, complete=True)


def _facts(
    experiment: Experiment,
    header: Header,
    *,
    options: Options,
    resumed: dict[str, int],
    bound_by: dict[str, Any] | None,
    budget: Budget | None,
) -> dict[str, Any]:
    """The `run` part of summary.json. In mock mode it holds nothing that two equal runs would not share."""
    live = options.mode == "live"
    return {
        "experiment_id": experiment.experiment_id,
        "mode": options.mode,
        "dialogues": header.count,
        "manifest_sha256": options.manifest_sha256,
        "dataset_sha256": header.identity["dataset_sha256"],
        "versions": {"profiler": __version__, "python": platform.python_version()},
        "metrics": list(experiment.metrics),
        **ledger.facts(budget),
        "started": header.started,
        "finished": _now(options.mode),
        "resumed": resumed if live else None,
        "bound_by": bound_by,
        "identity": header.identity,
    }


def _count_again(
    folder: Path, facts: dict[str, Any], experiment: Experiment, metrics: Sequence[Metric[Any]]
) -> dict[str, Any]:
    """The same answers by the metrics that the manifest names now."""
    result = summary.build(reduce_logs(folder, metrics), {**facts, "metrics": list(experiment.metrics)})
    summary.write(folder / resume.SUMMARY, result)
    return result


def _missed(experiment: Experiment, metrics: Sequence[Metric[Any]], result: dict[str, Any]) -> list[str]:
    """Thresholds name metrics as the manifest does, the summary as they name themselves."""
    names = dict(zip(experiment.metrics, (metric.name for metric in metrics), strict=True))
    bounds = {names.get(name, name): limits for name, limits in experiment.bounds().items()}
    return summary.check_thresholds(result, bounds)


@asynccontextmanager
async def _client(
    experiment: Experiment, given: Client | None, *, options: Options, tell: Callable[[str], None]
) -> AsyncIterator[Client]:
    """The client that was given, or the one that the manifest names, or the one that the mode means."""
    if given is not None:
        yield Checked(given)
    elif experiment.client is not None:
        yield _own_client(experiment, experiment.client, search_path=options.search_path)
    else:
        async with open_client(experiment, mode=options.mode, lane=options.lane, environ=os.environ) as client:
            if options.mode == "live":
                tell(f"{experiment.experiment_id}: asking {getattr(client, 'describes', 'the provider')}")
            yield client


def _own_client(experiment: Experiment, name: str, *, search_path: Path | None) -> Client:
    make = own.load(name, key="client", search_path=search_path)
    client = make(experiment) if callable(make) else None
    if not callable(getattr(client, "complete", None)):
        raise UsageError(
            f"client: {name!r} made {client!r}, which has no complete method",
            hint="it is called with the experiment and returns an object with `async def complete(request) -> Reply`",
        )
    return Checked(cast("Client", client))


def _tell_standing(standing: Standing, header: Header, resumed: dict[str, int], *, tell: Callable[[str], None]) -> None:
    for line in standing.notes:
        tell(line)
    if standing.asked:
        billed = " and may have been billed" if resumed["maybe_billed"] else ""
        tell(
            f"resuming: {standing.kept:,} of {header.count:,} answers are kept, "
            f"{standing.in_flight:,} were in flight{billed} and are asked again"
        )


async def _obey_signals(pool: Pool, tell: Callable[[str], None]) -> None:
    """The first signal lets the calls in flight end, the second does not wait for them."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for signum in signals:
            if pool.stopped is not None:
                pool.abandon()
                continue
            name = signal.Signals(signum).name
            tell(f"{name}: waiting for {pool.in_flight} calls in flight; once more ends them at once")
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


def _now(mode: Mode) -> str | None:
    return datetime.now(UTC).isoformat(timespec="seconds") if mode == "live" else None


def _silent(_: str) -> None:
    return None
