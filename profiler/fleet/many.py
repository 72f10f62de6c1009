"""The experiments of a manifest by several processes: one after the other, each by all of them. Those that are small are
answered by one process, all together: it has done them before others could be told what to do.

Those that ask what another one asks take its answers over, as they do in a run by one process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import ProfilerError
from profiler.engine import runner
from profiler.engine.agenda import same_questions
from profiler.engine.options import options_of
from profiler.engine.preflight import check_all
from profiler.engine.result import Ended
from profiler.engine.reuse import reusing
from profiler.engine.run_money import money_of_all
from profiler.fleet.drivers.process_driver import processes as process_driver
from profiler.fleet.hiring import kept_crew
from profiler.fleet.run import run_by_processes
from profiler.storage.kept_answers import money_of
from profiler.storage.names import TABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from profiler.engine.options import Options
    from profiler.engine.result import Result
    from profiler.fleet.coordination.onlookers import Watch
    from profiler.fleet.hiring import On
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment

LEAST_SHARED: Final = 10_000  # items; fewer are answered sooner by one process, where there are several experiments


async def run_all_by_processes(
    manifest: Manifest,
    *,
    options: Options,
    processes: int,
    watch: Watch | None = None,
    note: Callable[[str], None],
    on: On = process_driver,
) -> list[Ended]:
    """Each to its end, or to the error that ends it alone; what stops one for good stops those that are not begun. `on` says
    what runs the workers."""
    options, experiments = options_of(manifest, options), manifest.experiments
    counts = await check_all(experiments, options=options)
    small = _small(experiments, counts, options=options) if on is process_driver else []
    ended = await _by_one(manifest, small, options=options, watch=watch, note=note)
    stopped = next(filter(None, map(_stops_all, ended.values())), None)
    large = [each for each in experiments if each.experiment_id not in ended]
    waiting = {each.experiment_id for _, *rest in same_questions(large, options) for each in rest}
    asked = [each for each in large if each.experiment_id not in waiting]
    if asked and stopped is None:
        async with kept_crew() as kept:
            by = kept if on is process_driver else on
            run = partial(run_by_processes, processes=processes, on=by, watch=watch)
            ended |= await _one_by_one(manifest, large, asked, run, options=options, note=note)
        stopped = next(filter(None, map(_stops_all, ended.values())), None)
    if waiting and stopped is None:
        ended |= await _take_over(manifest, waiting, ended, options=options, note=note)
    return [ended.get(each.experiment_id) or Ended.not_begun(each, stopped) for each in experiments]


async def _one_by_one(
    manifest: Manifest,
    large: Sequence[Experiment],
    asked: Sequence[Experiment],
    run: Callable[..., Awaitable[Result]],
    *,
    options: Options,
    note: Callable[[str], None],
) -> dict[str, Ended]:
    """Run those that are `asked`, until something stops all of them."""
    ended: dict[str, Ended] = {}
    with (
        reusing(large, options=options, tell=note) as reusable,
        money_of_all(large, manifest, options=options) as money,
    ):
        for experiment in asked:
            left = None if money.cap is None else max(0, money.cap.cap - money.cap.gone)
            folder = options.folder_of(experiment)
            before = 0 if options.fresh else money_of(folder) or 0
            given: dict[str, Any] = {"left": left, "reusable": reusable}
            found = await _ended(partial(run, experiment, options=options, note=note, **given), experiment)
            ended[experiment.experiment_id] = found
            in_all = money_of(folder) or 0
            money.took(experiment, spent=in_all - before, in_all=in_all)
            if _stops_all(found) is not None:
                break
    return ended


def _stops_all(ended: Ended) -> ProfilerError | None:
    """A signal, the money, or the provider."""
    error = ended.error
    return error if isinstance(error, ProfilerError) and error.exit_code != ProfilerError.exit_code else None


def _small(experiments: Sequence[Experiment], counts: Mapping[str, int], *, options: Options) -> list[Experiment]:
    """Those with few items that no several processes have begun, but for those which wait for the answers of a large one."""
    if options.fresh and options.max_cost_usd is not None:
        return []  # what a cap over all leaves to some of them depends on what is begun anew with the others

    def is_small(experiment: Experiment) -> bool:
        few = 0 < counts.get(experiment.experiment_id, LEAST_SHARED) < LEAST_SHARED
        return few and (options.fresh or not (options.folder_of(experiment) / TABLE).exists())

    groups = same_questions(experiments, options)
    others = {each.experiment_id for same in groups if not all(map(is_small, same)) for each in same}
    return [each for each in experiments if is_small(each) and each.experiment_id not in others]


async def _by_one(
    manifest: Manifest,
    experiments: Sequence[Experiment],
    *,
    options: Options,
    watch: Watch | None,
    note: Callable[[str], None],
) -> dict[str, Ended]:
    if not experiments:
        return {}
    some = msgspec.structs.replace(manifest, experiments=tuple(experiments))
    return {each.experiment_id: each for each in await runner.run_all(some, options=options, watch=watch, note=note)}


async def _ended(run: Callable[[], Awaitable[Result]], experiment: Experiment) -> Ended:
    name = experiment.experiment_id
    try:
        return Ended(experiment_id=name, result=await run())
    except Exception as error:  # noqa: BLE001 (a fault of one experiment touches no other)
        return Ended(experiment_id=name, error=error)


async def _take_over(
    manifest: Manifest,
    waiting: set[str],
    ended: dict[str, Ended],
    *,
    options: Options,
    note: Callable[[str], None],
) -> dict[str, Ended]:
    """One process does: what it takes over is there. Those that were asked are complete, so they are asked nothing."""
    failed = {name for name, each in ended.items() if each.error is not None}
    wanted = [each for each in manifest.experiments if each.experiment_id not in failed]
    found = await runner.run_all(
        msgspec.structs.replace(manifest, experiments=tuple(wanted)),
        options=msgspec.structs.replace(options, fresh=False, reuse=()),
        note=note,
    )
    return {each.experiment_id: each for each in found if each.experiment_id in waiting}
