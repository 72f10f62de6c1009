"""Refuses, before anything is asked, a dataset whose `expected` cannot be compared with as the metrics of a manifest ask."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from profiler.core.errors import DatasetError, Problem
from profiler.dataset import file
from profiler.dataset.explain import near_miss
from profiler.dataset.selection import ALL
from profiler.dataset.unchanged import Remembered
from profiler.manifest.metrics import as_entry, called, compares
from profiler.metrics.with_options import misfit_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.core.nouns import Expected
    from profiler.dataset.file import Survey
    from profiler.dataset.selection import Selection
    from profiler.manifest.settings import Experiment
    from profiler.metrics.with_options import Misfit

MOST_PROBLEMS = 100
_misfits: Remembered[list[tuple[str, str]]] = Remembered()


def refuse_unexpected(experiment: Experiment, survey: Survey, *, selection: Selection = ALL) -> None:
    """Raise where a metric compares with `expected`, and no dialogue has it or one has what the metric cannot compare
    with: nothing would come of the money."""
    comparing = [called(metric) for metric in experiment.metrics if compares(metric)]
    if not comparing:
        return
    if "expected" in survey.absent:
        guess = (
            near_miss(survey.own_keys, ("expected",)) or "give the dialogues the key expected, or leave the metric out"
        )
        message = f"no dialogue has expected, which {' and '.join(comparing)} would compare answers with"
        raise DatasetError([Problem(path=str(experiment.dataset_path), line=1, message=message, hint=guess)])
    _refuse_misfits(experiment, selection)


def _refuse_misfits(experiment: Experiment, selection: Selection) -> None:
    checks = {entry.called: misfit_of(entry) for entry in map(as_entry, experiment.metrics) if entry is not None}
    particular = {name: check for name, check in checks.items() if check is not None}
    if not particular:
        return
    path, fields = experiment.dataset_path, experiment.dataset_fields
    asked = (selection, repr(fields or None), repr(experiment.metrics))
    found = _misfits.of(
        path, lambda: list(islice(_found(experiment, selection, particular), MOST_PROBLEMS)), asked=asked
    )
    if found:
        lines = file.lines_of(path, {name for name, _ in found}, fields=fields)
        raise DatasetError([Problem(path=str(path), line=lines.get(name), message=message) for name, message in found])


def _found(experiment: Experiment, selection: Selection, checks: dict[str, Misfit]) -> Iterator[tuple[str, str]]:
    with file.reading(experiment.dataset_path, fields=experiment.dataset_fields, selection=selection) as dialogues:
        for dialogue in islice(dialogues, selection.limit):
            expected: Expected | None = dialogue.expected
            if expected is None:
                continue
            for metric, misfit in checks.items():
                if wrong := misfit(expected):
                    yield dialogue.dialogue_id, f"{wrong} (dialogue {dialogue.dialogue_id!r}, metric {metric})"
