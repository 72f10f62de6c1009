"""Checks that every experiment of a manifest could run, before the first of them is paid for.

It looks at metrics, client, dataset, address, price and run directory. Nothing is sent or written.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import anyio.lowlevel
import msgspec

from profiler.core.errors import ProfilerError, UsageError
from profiler.core.wording import few
from profiler.dataset import file
from profiler.engine.run_client import check_client, try_own_client
from profiler.engine.run_money import card_of_run, least_cap
from profiler.manifest.rules import streamed_only
from profiler.metrics.builtin import resolve, unmeasured
from profiler.metrics.unfit_dataset import refuse_unfit
from profiler.provider.open import open_client
from profiler.provider.source import source_of
from profiler.storage import run_directory
from profiler.storage.identity import examine

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from profiler.dataset.file import Survey
    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client

OF_A_DATASET = ("dataset_path", "dataset_fields", "provider", "tools", "tool_choice", "output_format")
OF_A_CLIENT = ("client", "provider", "base_url", "api_version", "stream")


async def check_all(
    experiments: Sequence[Experiment], *, options: Options, given: Client | None = None
) -> dict[str, int]:
    """Raise one error with everything that is wrong, each thing once. Returns how many answers each experiment wants.

    For a single experiment nothing is done here: the run itself finds all of it before the first call.
    """
    if len(experiments) == 1:
        return {}
    found = Faults()
    counts: dict[str, int] = {}
    begin_anew = True
    check = _Check(options, given)
    for experiment in experiments:
        name = experiment.experiment_id
        faults = await check.faults(experiment)
        if name in counts:
            faults.append(
                UsageError(f"found the experiment id {name!r} a second time", hint="each names its own folder")
            )
        counts[name] = check.count_of(experiment) if not faults else 0
        begin_anew = begin_anew and all(fault.way_on for fault in faults)
        for error in faults:
            found.add(name, error)
        await anyio.lowlevel.checkpoint()
    if found.any:
        error = found.as_one(f"of {len(experiments)} experiments cannot run, so none begins")
        if begin_anew:  # --fresh moves all of them aside, so all of them are reused
            error.way_on = ("--fresh", "--reuse", str(options.folder))
        raise error
    return counts


class Faults:
    """What is wrong with the experiments of a manifest: each thing once, with the names of those that it concerns."""

    def __init__(self) -> None:
        self.any: list[ProfilerError] = []
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, error: ProfilerError) -> None:
        self.any.append(error)
        said = f"{error}\n    hint: {error.hint}" if error.hint else str(error)
        self._names.setdefault(said, []).append(name)

    def as_one(self, words: str) -> UsageError:
        """All of it as one error. `words` follow the number of experiments that something is wrong with."""
        ids = {name for names in self._names.values() for name in names}
        lines = [f"{few(names)}: {said.removeprefix(f'{names[0]}: ')}" for said, names in self._names.items()]
        return UsageError(f"{len(ids)} {words}:\n" + "\n".join(lines))


class _Check:
    """Remembers what was found, by what it depends on: most experiments of a manifest share nearly all of it."""

    def __init__(self, options: Options, given: Client | None) -> None:
        self._options = options
        self._given = given
        self._faults: dict[Hashable, ProfilerError | None] = {}
        self._surveys: dict[Hashable, Survey] = {}

    async def faults(self, experiment: Experiment) -> list[ProfilerError]:
        options, cap_usd = self._options, least_cap(experiment, self._options)
        metrics, prices = experiment.metrics, experiment.prices
        faults = [
            self._once(("metrics", repr(metrics)), partial(resolve, metrics, search_path=options.plugins_folder)),
            dataset := self._once(
                ("dataset", *map(repr, (getattr(experiment, name) for name in OF_A_DATASET)), repr(metrics)),
                partial(self._dataset, experiment),
            ),
            self._once(
                ("price", experiment.provider, experiment.model, prices and msgspec.structs.astuple(prices), cap_usd),
                partial(card_of_run, experiment, mode=options.resolved_mode, cap_usd=cap_usd),
            ),
            await self._client(experiment),
        ]
        if dataset is None:
            faults.append(_fault(partial(self._folder, experiment)))
        return [fault for fault in faults if fault is not None]

    async def _client(self, experiment: Experiment) -> ProfilerError | None:
        about = (
            *("client", *(getattr(experiment, name) for name in OF_A_CLIENT), experiment.mock.responses_path),
            tuple(streamed_only(experiment)),
        )
        if about not in self._faults:
            self._faults[about] = None if self._given is not None else await _client_fault(experiment, self._options)
        return self._faults[about]

    def _once(self, about: Hashable, check: Callable[[], object]) -> ProfilerError | None:
        if about not in self._faults:
            self._faults[about] = _fault(check)
        return self._faults[about]

    def _folder(self, experiment: Experiment) -> None:
        """Raise if the folder holds a run with another identity, which only --fresh may move aside."""
        options = self._options
        folder = options.folder_of(experiment)
        before = None if options.fresh else run_directory.earlier(folder)
        if before is not None:
            source = source_of(experiment, mode=options.resolved_mode, environ=os.environ, given=self._given)
            header, _ = examine(experiment, source=source, selection=options.selection, before=before)
            run_directory.refuse_another(folder, before.identity, header.identity)

    def count_of(self, experiment: Experiment) -> int:
        return self._surveyed(experiment).count * experiment.repeats

    def _dataset(self, experiment: Experiment) -> None:
        survey = self._surveyed(experiment)
        refuse_unfit(experiment, survey, selection=self._options.selection)

    def _surveyed(self, experiment: Experiment) -> Survey:
        path, fields = experiment.dataset_path, experiment.dataset_fields
        about = (path, repr(fields))
        if about not in self._surveys:
            self._surveys[about] = file.survey(path, fields=fields, selection=self._options.selection)
        return self._surveys[about]


def tell_survey(experiment: Experiment, survey: Survey, *, tell: Callable[[str], None]) -> None:
    """Say what was found in the dataset that a person should know before the first call."""
    for warning in unmeasured(experiment.metrics, survey):
        tell(f"{experiment.experiment_id}: {warning}")
    for remark in survey.remarks:
        tell(remark)


def _fault(check: Callable[[], object]) -> ProfilerError | None:
    try:
        check()
    except ProfilerError as error:
        return error
    return None


async def _client_fault(experiment: Experiment, options: Options) -> ProfilerError | None:
    """What is wrong with an address, a key, a file or code of the user's own shows when the client is opened; nothing is
    sent."""
    try:
        check_client(experiment, search_path=options.plugins_folder)
        if experiment.client is not None:
            await try_own_client(experiment, experiment.client, search_path=options.plugins_folder)
        else:
            async with open_client(experiment, mode=options.resolved_mode, lane=options.lane, environ=os.environ):
                pass
    except ProfilerError as error:
        return error
    return None
