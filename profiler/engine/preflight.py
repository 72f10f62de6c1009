"""Checks that every experiment of a manifest could run, before the first of them is paid for.

It looks at metrics, client, dataset, address, price and run directory. Nothing is sent or written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

from profiler.core.errors import ProfilerError, UsageError
from profiler.dataset import file
from profiler.engine.open_client import check_client
from profiler.engine.session_budget import card_of_run
from profiler.metrics.builtin import refuse_unexpected, resolve
from profiler.provider.open import open_client
from profiler.provider.source import source_of
from profiler.storage import run_directory
from profiler.storage.identity import examine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment


def check_all(experiments: Sequence[Experiment], *, options: Options) -> None:
    """Raise one `UsageError` with all that is wrong; what several experiments have in common stands there once."""
    found: dict[str, list[str]] = {}
    for experiment in experiments:
        for error in _faults(experiment, options):
            said = f"{error}\n    hint: {error.hint}" if error.hint else str(error)
            found.setdefault(said, []).append(experiment.experiment_id)
    if found:
        ids = dict.fromkeys(each for wrong in found.values() for each in wrong)
        lines = [f"{', '.join(wrong)}: {said}" for said, wrong in found.items()]
        raise UsageError(
            f"{len(ids)} of {len(experiments)} experiments cannot run, so none begins:\n" + "\n".join(lines)
        )


def _faults(experiment: Experiment, options: Options) -> Iterator[ProfilerError]:
    checks: Iterable[Callable[[Experiment, Options], object]] = (_metrics, _client, _dataset, _price, _folder)
    for check in checks:
        try:
            check(experiment, options)
        except ProfilerError as error:
            yield error
            if check is _dataset:
                return  # the later checks read the dataset too, and would say the same


def _metrics(experiment: Experiment, options: Options) -> None:
    resolve(experiment.metrics, search_path=options.plugins_folder)


def _client(experiment: Experiment, options: Options) -> None:
    check_client(experiment, search_path=options.plugins_folder)
    if experiment.client is None:
        anyio.run(_open_and_close, experiment, options)


async def _open_and_close(experiment: Experiment, options: Options) -> None:
    """Opening a client sends nothing, but finds an address, a key or a file that cannot be used."""
    async with open_client(experiment, mode=options.resolved_mode, lane=options.lane, environ=os.environ):
        pass


def _dataset(experiment: Experiment, options: Options) -> None:
    survey = file.survey(experiment.dataset_path, limit=options.limit, fields=experiment.dataset_fields)
    refuse_unexpected(experiment.metrics, survey, experiment.dataset_path)


def _price(experiment: Experiment, options: Options) -> None:
    cap_usd = experiment.max_cost_usd if options.max_cost_usd is None else options.max_cost_usd
    card_of_run(experiment, mode=options.resolved_mode, cap_usd=cap_usd)


def _folder(experiment: Experiment, options: Options) -> None:
    """A folder that holds another run is refused, unless --fresh moves that aside."""
    folder = options.folder / experiment.experiment_id
    before = None if options.fresh else run_directory.earlier(folder)
    if before is not None:
        source = source_of(experiment, mode=options.resolved_mode, environ=os.environ)
        header, _ = examine(experiment, source=source, limit=options.limit, before=before)
        run_directory.refuse_another(folder, before.identity, header.identity)
