"""Refuses, before anything is sent, images that this provider does not take although the API would, a choice among tools where
there are none, and a check against a schema that nobody sends."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from profiler.core.content_blocks import LIMITS, block_faults
from profiler.core.errors import DatasetError, Problem
from profiler.dataset import file
from profiler.dataset.selection import ALL
from profiler.manifest.load import setting_problem
from profiler.manifest.metrics import called, checks_sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from profiler.dataset.file import Survey
    from profiler.dataset.selection import Selection
    from profiler.manifest.settings import Experiment

MOST_PROBLEMS = 100


def refuse_unsendable(experiment: Experiment, survey: Survey, *, selection: Selection = ALL) -> None:
    """Raise `DatasetError` with what stands in the way of this experiment, over a dataset that is sound by itself."""
    problems = []
    faults: list[_Fault] = []
    if survey.blocks and experiment.provider in LIMITS:
        faults = list(islice(_refused_blocks(experiment, selection), MOST_PROBLEMS))
    choice = experiment.tool_choice
    if choice is not None and choice["type"] != "none" and not experiment.tools and survey.toolless is not None:
        message = f"dialogue {survey.toolless!r} brings no tools, which the tool_choice of the manifest needs"
        faults.append(
            _Fault(survey.toolless, message, "set tools in the manifest, or in the request of every dialogue")
        )
    checking = {at: called(metric) for at, metric in enumerate(experiment.metrics) if checks_sent(metric)}
    if checking and experiment.output_format is None and not survey.formats:
        message = f"no schema is sent, against which {' and '.join(checking.values())} would check answers"
        hint = "set output_format in the manifest, or in the request of dialogues"
        problems.append(setting_problem(experiment, ("metrics", min(checking)), message, hint=hint))
    if faults:
        problems += _placed(faults, experiment)
    if problems:
        raise DatasetError(problems)


class _Fault(NamedTuple):
    """Something wrong with one dialogue."""

    dialogue_id: str
    message: str
    hint: str


def _placed(faults: Sequence[_Fault], experiment: Experiment) -> list[Problem]:
    path = experiment.dataset_path
    lines = file.lines_of(path, {fault.dialogue_id for fault in faults}, fields=experiment.dataset_fields)
    return [
        Problem(path=str(path), line=lines.get(fault.dialogue_id), message=fault.message, hint=fault.hint)
        for fault in faults
    ]


def _refused_blocks(experiment: Experiment, selection: Selection) -> Iterator[_Fault]:
    limits = LIMITS[experiment.provider]
    path, fields = experiment.dataset_path, experiment.dataset_fields
    with file.reading(path, fields=fields, selection=selection) as dialogues:
        for dialogue in dialogues:
            said = [(message.role, message.content) for message in dialogue.messages or ()]
            for fault in block_faults(said, limits=limits):
                message = f"dialogue {dialogue.dialogue_id!r}: {fault.place}: {fault.message}"
                hint = f"of provider {experiment.provider}; others take more"
                yield _Fault(dialogue.dialogue_id, message, fault.hint or hint)
