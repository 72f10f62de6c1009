"""The whole story of a run: manifest → dataset → plan → pool → journal → ordered logs → reduction → summary.

Comes in: one experiment and how to run it. Goes out: its summary, and a run directory that holds only
the three files. Knows nothing of terminals; every step lives in the module it is imported from.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from profiler.core.errors import DatasetError, ProfilerError, UsageError
from profiler.dataset import file, unchanged
from profiler.engine.open_client import client_of_run
from profiler.engine.options import Options
from profiler.engine.session import answer_all
from profiler.metrics import summary
from profiler.metrics.builtin import resolve, unmeasured
from profiler.storage import ledger, resume, summary_file
from profiler.storage.identity import complete_run, facts_of, header_of
from profiler.storage.saved_run import reduce_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from profiler.engine.options import Watch
    from profiler.manifest.settings import Bounds, Experiment
    from profiler.metrics.metric import Metric
    from profiler.metrics.reduction import Reduction
    from profiler.provider.client import Client
    from profiler.storage.journal import Header
    from profiler.storage.resume import Standing


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
    with _own_folder(folder, fresh=options.fresh, tell=tell), _spared_collector():
        resume.sweep(folder)
        before = resume.earlier(folder) or complete_run(folder)
        checked = unchanged.stamp(experiment.dataset_path)
        header = header_of(experiment, options=options, before=before)
        if before is None:
            for warning in unmeasured(experiment.metrics, file.survey(experiment.dataset_path, limit=options.limit)):
                tell(f"{experiment.experiment_id}: {warning}")
        if before is not None and before.complete:
            resume.refuse_other(folder, before.identity, header.identity)
            done = summary_file.read(folder)
            ledger.remove(folder)  # a kill may have come before the run could do it
            if not (options.retry_failed and done["counts"].get("error")):
                return _already_complete(folder, done, experiment, metrics, tell=tell)
            if card is not None:
                ledger.carry_over(folder, done)
            resume.reopen(folder, header)
        async with client_of_run(experiment, client, options=options, tell=tell) as asked:
            standing = resume.open_standing(
                folder, header, retry_failed=options.retry_failed, sync=options.fsync != "off"
            )
            try:
                billed, billed_ever = ledger.cut_off(folder, standing) if options.mode == "live" else (0, 0)
                resumed = {"kept": standing.kept, "maybe_billed": billed_ever}
                _tell_standing(standing, header, billed=billed, tell=tell)
                budget = None
                if card is not None:
                    budget = ledger.begin(folder, card, standing, experiment=experiment, cap_usd=cap_usd)
                with _same_dataset(experiment, header, checked=checked, tell=tell):
                    bound_by = await answer_all(
                        experiment,
                        header,
                        standing,
                        options=options,
                        client=asked,
                        watch=watch,
                        tell=tell,
                        budget=budget,
                    )
            finally:
                standing.close()
        reduction = _reduced(folder, metrics, tell=tell)
        facts = facts_of(experiment, header, options=options, resumed=resumed, bound_by=bound_by, budget=budget)
        result = summary.judged(summary.build(reduction, facts), _bounds(experiment, metrics))
        summary_file.write(folder / resume.SUMMARY, result)
        resume.finish(folder, sync=options.fsync != "off")
        ledger.remove(folder)
    return Result(
        folder=folder,
        summary=result,
        answered_now=header.count - standing.kept,
        kept=standing.kept,
        elapsed_s=time.perf_counter() - begun,
        missed=summary.missed(result),
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


@contextmanager
def _spared_collector() -> Iterator[None]:
    """What is made for a dialogue goes with its last reference; looking for cycles would cost a tenth of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def _same_dataset(
    experiment: Experiment, header: Header, *, checked: unchanged.Stamp, tell: Callable[[str], None]
) -> Iterator[None]:
    """What is asked comes from the file that was checked. A run that stops for another reason tells it, too."""
    path, sha256 = experiment.dataset_path, header.identity["dataset_sha256"]
    unchanged.expect_unchanged(path, since=checked, sha256=sha256)
    try:
        yield
    except ProfilerError:
        try:
            unchanged.expect_unwritten(path, since=checked, sha256=sha256)
        except DatasetError as changed:
            tell(str(changed))
        raise
    unchanged.expect_unwritten(path, since=checked, sha256=sha256)


@contextmanager
def _own_folder(folder: Path, *, fresh: bool, tell: Callable[[str], None]) -> Iterator[None]:
    if fresh and folder.exists():
        with resume.locked(folder):
            if aside := resume.move_aside(folder):
                tell(f"moved the earlier run to {aside}")
    with resume.locked(folder):
        yield


def _already_complete(
    folder: Path,
    done: dict[str, Any],
    experiment: Experiment,
    metrics: Sequence[Metric[Any]],
    *,
    tell: Callable[[str], None],
) -> Result:
    """Nothing is asked; the same answers are counted and judged again where the manifest wants that."""
    failed = [name for name, found in done["metrics"].items() if "error" in found]
    names, counted = list(experiment.metrics), done
    if failed or done["run"].get("metrics") != names:
        reason = f"{', '.join(failed)} had failed" if failed else "the manifest names other metrics"
        tell(f"{reason}: counted again from the logs")
        counted = summary.build(_reduced(folder, metrics, tell=tell), {**done["run"], "metrics": names})
    counted = summary.judged(counted, _bounds(experiment, metrics))
    if counted != done:
        summary_file.write(folder / resume.SUMMARY, counted)
    return Result(
        folder=folder,
        summary=counted,
        answered_now=0,
        kept=done["counts"]["total"],
        elapsed_s=0.0,
        missed=summary.missed(counted),
    )


def _reduced(folder: Path, metrics: Sequence[Metric[Any]], *, tell: Callable[[str], None]) -> Reduction:
    reduction = reduce_logs(folder, metrics)
    for fault in reduction.faults:
        tell(str(fault))
    return reduction


def _bounds(experiment: Experiment, metrics: Sequence[Metric[Any]]) -> dict[str, Bounds]:
    """Thresholds name metrics as the manifest does, the summary as they name themselves."""
    names = dict(zip(experiment.metrics, (metric.name for metric in metrics), strict=True))
    return {names.get(name, name): limits for name, limits in experiment.bounds().items()}


def _tell_standing(standing: Standing, header: Header, *, billed: int, tell: Callable[[str], None]) -> None:
    for line in standing.notes:
        tell(line)
    if standing.asked:
        words = " and may have been billed" if billed else ""
        tell(
            f"resuming: {standing.kept:,} of {header.count:,} answers are kept, "
            f"{standing.in_flight:,} were in flight{words} and are asked again"
        )


def _silent(_: str) -> None:
    return None
