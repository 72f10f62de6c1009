"""Refuses, before anything is sent, what a provider cannot take although the API could, and what needs tools or schemas that
nobody brings."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from profiler.core.content_blocks import LIMITS, block_faults
from profiler.core.errors import DatasetError, Problem
from profiler.dataset import file
from profiler.dataset.selection import ALL
from profiler.manifest.metrics import called, checks_sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.dataset.file import Survey
    from profiler.dataset.selection import Selection
    from profiler.manifest.settings import Experiment

MOST_PROBLEMS = 100


def refuse_unsendable(experiment: Experiment, survey: Survey, *, selection: Selection = ALL) -> None:
    """Raise `DatasetError` with what stands in the way of this experiment, over a dataset that is sound by itself."""
    problems = []
    if survey.blocks and experiment.provider in LIMITS:
        problems = list(islice(_refused_blocks(experiment, selection), MOST_PROBLEMS))
    choice = experiment.tool_choice
    if choice is not None and choice["type"] != "none" and not experiment.tools and survey.toolless is not None:
        message = f"dialogue {survey.toolless!r} brings no tools, which the tool_choice of the manifest needs"
        hint = "set tools in the manifest, or in the request of every dialogue"
        problems.append(Problem(path=str(experiment.dataset_path), message=message, hint=hint))
    checking = [called(metric) for metric in experiment.metrics if checks_sent(metric)]
    if checking and experiment.output_format is None and not survey.formats:
        message = f"no schema is sent, against which {' and '.join(checking)} would check answers"
        hint = "set output_format in the manifest, or in the request of dialogues"
        problems.append(Problem(path=str(experiment.dataset_path), message=message, hint=hint))
    if problems:
        raise DatasetError(problems)


def _refused_blocks(experiment: Experiment, selection: Selection) -> Iterator[Problem]:
    limits = LIMITS[experiment.provider]
    path, fields = experiment.dataset_path, experiment.dataset_fields
    with file.reading(path, fields=fields, selection=selection) as dialogues:
        for dialogue in dialogues:
            said = [(message.role, message.content) for message in dialogue.messages or ()]
            for fault in block_faults(said, limits=limits):
                message = f"dialogue {dialogue.dialogue_id!r}: {fault.place}: {fault.message}"
                hint = f"of provider {experiment.provider}; others take more"
                yield Problem(path=str(path), message=message, hint=fault.hint or hint)
