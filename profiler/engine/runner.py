"""The story of a run: manifest → dataset → requests → pool → journal → ordered logs → reduction → summary."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from profiler import __version__
from profiler.core.errors import DatasetError, ProfilerError, UsageError
from profiler.dataset import file, unchanged
from profiler.engine import collector
from profiler.engine.open_client import client_of_run
from profiler.engine.options import Options
from profiler.engine.result import Result, summarized, summarized_again
from profiler.engine.session import answer_all
from profiler.engine.session_budget import budget_of, card_of_run, money_facts
from profiler.manifest.metrics import plain
from profiler.metrics import summary
from profiler.metrics.builtin import refuse_unexpected, resolve, unmeasured
from profiler.provider.requests import Planner, params_of
from profiler.provider.source import facts, source_of
from profiler.storage import run_directory
from profiler.storage.identity import examine, now
from profiler.storage.questions import expect_same_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from profiler.dataset.file import Survey
    from profiler.engine.options import Watch
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget
    from profiler.provider.client import Client
    from profiler.provider.source import Source
    from profiler.storage.resume import OpenRun
    from profiler.storage.run_directory import RunDirectory


DEFAULTS = Options()


async def run(
    experiment: Experiment,
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> Result:
    """Run one experiment to its end. After a `ProfilerError` the same call resumes it."""
    begun, tell, sync = time.perf_counter(), note or _silent, options.fsync != "off"
    cap_usd = experiment.max_cost_usd if options.max_cost_usd is None else options.max_cost_usd
    source = source_of(experiment, mode=options.resolved_mode, environ=os.environ, given=client)
    card = card_of_run(experiment, mode=source.mode, cap_usd=cap_usd)
    metrics = resolve(experiment.metrics, search_path=options.plugins_folder)
    folder = options.folder / experiment.experiment_id
    with collector.spared(), run_directory.hold(folder, fresh=options.fresh, tell=tell) as directory:
        stamp = unchanged.stamp(experiment.dataset_path)
        header, survey = examine(experiment, source=source, limit=options.limit, before=directory.earlier, stamp=stamp)
        directory.refuse_another_run(header.identity)
        if survey is not None:
            refuse_unexpected(experiment.metrics, survey, experiment.dataset_path)
        if (done := directory.summary) and not (options.retry_failed and done["counts"].get("error")):
            done = summarized_again(directory, done, experiment, metrics, tell=tell)
            return _result(directory, done, kept=header.count, elapsed_s=0.0)
        async with client_of_run(experiment, client, options=options, tell=tell) as asked:
            with (
                directory.opened(header, retry_failed=options.retry_failed, sync=sync) as opened,
                _same_dataset(experiment, opened, stamp=stamp, tell=tell),
            ):
                _tell_begin(experiment, opened, survey, tell=tell)
                budget = budget_of(card, opened, cap_usd=cap_usd)
                bound_by = await answer_all(
                    experiment,
                    opened,
                    options=options,
                    source=source,
                    client=asked,
                    watch=watch,
                    tell=tell,
                    budget=budget,
                )
        facts = _facts_of(experiment, opened, source, options=options, bound_by=bound_by, budget=budget)
        result = summarized(folder, experiment, metrics, facts, tell=tell)
        directory.write_summary(result)
        directory.finish(sync=sync)
    return _result(directory, result, kept=opened.kept, elapsed_s=time.perf_counter() - begun)


def run_sync(
    experiment: Experiment,
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> Result:
    """`run` for code without an event loop."""
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
    """uvloop halves the cost of calls that wait.

    Calls that do not wait hardly use the loop, and importing uvloop takes time.
    """
    waits = options.resolved_mode == "live" or experiment.mock.latency.median_s > 0 or experiment.client is not None
    return {"use_uvloop": waits and importlib.util.find_spec("uvloop") is not None}


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _same_dataset(
    experiment: Experiment, opened: OpenRun, *, stamp: unchanged.Stamp, tell: Callable[[str], None]
) -> Iterator[None]:
    """Make sure that all of a run, in all its sessions, was asked from one version of the dataset.

    A change during the session is an error, or a warning where the session ends with another error anyway.
    """
    path, sha256 = experiment.dataset_path, opened.header.identity["dataset_sha256"]
    unchanged.expect_unchanged(path, since=stamp, sha256=sha256)
    if opened.header.dataset_stamp != stamp:  # somebody wrote to it since the run began, and may have put it back
        planner = Planner(params_of(experiment), system=experiment.system)
        with file.reading(path, fields=experiment.dataset_fields) as dialogues:
            expect_same_questions(opened, planner.plan(dialogues))
    try:
        yield
    except ProfilerError:
        try:
            unchanged.expect_unwritten(path, since=stamp, sha256=sha256)
        except DatasetError as changed:
            tell(str(changed))
        raise
    unchanged.expect_unwritten(path, since=stamp, sha256=sha256)


def _result(directory: RunDirectory, result: dict[str, Any], *, kept: int, elapsed_s: float) -> Result:
    return Result(
        folder=directory.folder,
        summary=result,
        answered_now=result["counts"]["total"] - kept,
        kept=kept,
        elapsed_s=elapsed_s,
        missed=summary.missed(result),
    )


def _facts_of(
    experiment: Experiment,
    opened: OpenRun,
    source: Source,
    *,
    options: Options,
    bound_by: dict[str, Any] | None,
    budget: Budget | None,
) -> dict[str, Any]:
    """The `run` part of summary.json. In mock mode it holds only what is the same in two equal runs."""
    live, header = source.mode == "live", opened.header
    return {
        "experiment_id": experiment.experiment_id,
        "mode": source.mode,
        **facts(source),
        "dialogues": header.count,
        "manifest_sha256": options.manifest_sha256,
        "dataset_sha256": header.identity["dataset_sha256"],
        "versions": {"profiler": __version__, "python": platform.python_version()},
        "metrics": plain(experiment.metrics),
        **money_facts(budget),
        "started": header.started,
        "finished": now(source.mode),
        "resumed": {"kept": opened.kept, "maybe_billed": opened.carried.cut_off} if live else None,
        "sessions": opened.sessions if live else None,
        "bound_by": bound_by,
        "identity": header.identity,
    }


def _tell_begin(experiment: Experiment, opened: OpenRun, survey: Survey | None, *, tell: Callable[[str], None]) -> None:
    """Say what a person should know before the first call."""
    if survey is not None:
        for warning in unmeasured(experiment.metrics, survey):
            tell(f"{experiment.experiment_id}: {warning}")
        for remark in survey.remarks:
            tell(remark)
    for line in opened.notes:
        tell(line)
    if opened.asked:
        words = f"resuming: {opened.kept:,} of {opened.header.count:,} answers are kept"
        if opened.cut_off_now:
            words += f"; {opened.cut_off_now:,} were in flight, may have been billed, and are asked again"
        tell(words)


def _silent(_: str) -> None:
    return None
