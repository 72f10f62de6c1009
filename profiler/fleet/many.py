"""The experiments of a manifest by several processes: one after the other, each by all of them.

Those that ask what another one asks take its answers over, as they do in a run by one process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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
from profiler.fleet.run import run_by_processes
from profiler.storage.kept_answers import money_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from profiler.engine.options import Options
    from profiler.engine.result import Result
    from profiler.fleet.coordination.onlookers import Watch
    from profiler.fleet.run import On
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment


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
    await check_all(experiments, options=options)
    waiting = {each.experiment_id for _, *rest in same_questions(experiments, options) for each in rest}
    ended: dict[str, Ended] = {}
    stopped: Exception | None = None
    with (
        reusing(experiments, options=options, tell=note) as reusable,
        money_of_all(experiments, manifest, options=options) as money,
    ):
        for experiment in experiments:
            if experiment.experiment_id in waiting or stopped is not None:
                continue
            left = None if money.cap is None else max(0, money.cap.cap - money.cap.gone)
            folder = options.folder_of(experiment)
            before = 0 if options.fresh else money_of(folder) or 0
            run = partial(
                run_by_processes,
                experiment,
                options=options,
                processes=processes,
                left=left,
                reusable=reusable,
                on=on,
            )
            found = ended[experiment.experiment_id] = await _ended(run, experiment, watch=watch, note=note)
            in_all = money_of(folder) or 0
            money.took(experiment, spent=in_all - before, in_all=in_all)
            if isinstance(found.error, ProfilerError) and found.error.exit_code != ProfilerError.exit_code:
                stopped = found.error  # a signal, the money, or the provider
    if waiting and stopped is None:
        ended |= await _take_over(manifest, waiting, ended, options=options, note=note)
    return [ended.get(each.experiment_id) or Ended.not_begun(each, stopped) for each in experiments]


async def _ended(
    run: Callable[..., Awaitable[Result]],
    experiment: Experiment,
    *,
    watch: Watch | None,
    note: Callable[[str], None],
) -> Ended:
    name = experiment.experiment_id
    try:
        return Ended(experiment_id=name, result=await run(watch=watch, note=note))
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
