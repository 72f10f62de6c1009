"""The experiments of a manifest by several processes.

The large ones are run one after the other, each by all processes. The small ones are run together by this process
alone, which has done them before others could be told what to do. An experiment that asks the same as another one takes
its answers over, as it does in a run by one process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.core.errors import BudgetReached, Interrupted, ProfilerError, ProviderFailed
from profiler.engine import runner
from profiler.engine.agenda import same_questions
from profiler.engine.options import options_of
from profiler.engine.preflight import check_all
from profiler.engine.progress import round_figures
from profiler.engine.providers import provider_of
from profiler.engine.result import Ended
from profiler.engine.reuse import reusing
from profiler.engine.run_money import money_of_all
from profiler.fleet.drivers.process_driver import processes as process_driver
from profiler.fleet.hiring import kept_crew
from profiler.fleet.run import run_by_processes
from profiler.money.prices import dollars, pico
from profiler.storage.kept_answers import money_of
from profiler.storage.names import TABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

    from profiler.engine.options import Options
    from profiler.engine.result import Result
    from profiler.engine.run_money import RunMoney
    from profiler.fleet.coordination.fleet_view import Watch
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
    """Run each experiment to its end, or to the error that ends it alone.

    What stops one for good also stops those that have not begun. `on` says what runs the workers.
    """
    options, experiments = options_of(manifest, options), manifest.experiments
    counts = await check_all(experiments, options=options)
    small = _small(experiments, counts, options=options) if on is process_driver else []
    ended = await _by_one(manifest, small, options=options, watch=watch, note=note)
    by_name = {each.experiment_id: each for each in experiments}
    stops = Stops()
    for name, each in ended.items():
        stops.heard(by_name[name], each)
    large = [each for each in experiments if each.experiment_id not in ended]
    waiting = {each.experiment_id for _, *rest in same_questions(large, options) for each in rest}
    asked = [each for each in large if each.experiment_id not in waiting]
    if any(stops.of(each) is None for each in asked):
        async with kept_crew() as kept:
            by = kept if on is process_driver else on
            run = partial(run_by_processes, processes=processes, on=by, watch=watch)
            ended |= await _one_by_one(manifest, large, asked, run, stops, options=options, note=note)
    if waiting := {name for name in waiting if stops.of(by_name[name]) is None}:
        ended |= await _take_over(manifest, waiting, ended, options=options, note=note)
    return [ended.get(each.experiment_id) or Ended.not_begun(each, stops.of(each)) for each in experiments]


class Stops:
    """What has stopped some experiments and stops others too.

    A signal and the cap of all stop every one; trouble with the provider stops those that ask the same model there.
    """

    def __init__(self) -> None:
        self.every: ProfilerError | None = None
        self._by_provider: dict[Hashable, ProfilerError] = {}

    def heard(self, experiment: Experiment, ended: Ended) -> None:
        error = ended.error
        if isinstance(error, ProviderFailed):
            self._by_provider.setdefault(provider_of(experiment), error)
        elif isinstance(error, Interrupted) or (isinstance(error, BudgetReached) and error.of_all):
            self.every = self.every or error

    def of(self, experiment: Experiment) -> ProfilerError | None:
        return self.every or self._by_provider.get(provider_of(experiment))


async def _one_by_one(
    manifest: Manifest,
    large: Sequence[Experiment],
    asked: Sequence[Experiment],
    run: Callable[..., Awaitable[Result]],
    stops: Stops,
    *,
    options: Options,
    note: Callable[[str], None],
) -> dict[str, Ended]:
    """Run the experiments of `asked` one after the other, except those that an earlier one's error stops too."""
    ended: dict[str, Ended] = {}
    with (
        reusing(large, options=options, tell=note) as reusable,
        money_of_all(large, manifest, options=options) as money,
    ):
        for experiment in asked:
            if stops.of(experiment) is not None:
                continue
            left = None if money.cap is None else max(0, money.cap.cap - money.cap.gone)
            folder = options.folder_of(experiment)
            before = 0 if options.fresh else money_of(folder) or 0
            asking = partial(run, experiment, options=options, left=left, reusable=reusable, note=note)
            found = await _ended(asking, experiment)
            ended[experiment.experiment_id] = found
            in_all = money_of(folder) or 0
            money.took(experiment, spent=in_all - before, in_all=in_all)
            if isinstance(found.error, BudgetReached):
                room = None if left is None else left + before
                advise(found.error, experiment, money, room=room, in_all=in_all)
            stops.heard(experiment, found)
    return ended


def advise(reached: BudgetReached, experiment: Experiment, money: RunMoney, *, room: int | None, in_all: int) -> None:
    """Say which cap has stopped the experiment: its own, or that of all experiments, of which others have used a part."""
    own = experiment.max_cost_usd
    if room is None or money.cap is None:
        reached.of_all = not money.held_by_manifest(experiment)
    elif own is not None and pico(own) <= room:
        reached.of_all = False
    elif reached.enough_usd is not None:
        reached.enough_usd = round_figures(reached.enough_usd + dollars(money.cap.gone - in_all))
    reached.point_at_manifest(experiment.experiment_id)


def _small(experiments: Sequence[Experiment], counts: Mapping[str, int], *, options: Options) -> list[Experiment]:
    """Experiments with few items, without those that several processes have begun or that wait for the answers of a
    large one."""
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
    """Let experiments that ask the same as another take its answers over, in this one process.

    The ones that were asked are complete, so nothing is asked here.
    """
    complete = {name for name, each in ended.items() if each.error is None}
    wanted = [each for each in manifest.experiments if each.experiment_id in waiting | complete]
    found = await runner.run_all(
        msgspec.structs.replace(manifest, experiments=tuple(wanted)),
        options=msgspec.structs.replace(options, fresh=False, reuse=()),
        note=note,
    )
    return {each.experiment_id: each for each in found if each.experiment_id in waiting}
