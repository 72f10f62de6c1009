"""Refuses, before anything is asked, a dataset that does not fit its experiment: its metrics, its tools, its provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.dataset.selection import ALL
from profiler.dataset.sendable import refuse_unsendable
from profiler.metrics.expectations import refuse_unexpected

if TYPE_CHECKING:
    from profiler.dataset.file import Survey
    from profiler.dataset.selection import Selection
    from profiler.manifest.settings import Experiment


def refuse_unfit(experiment: Experiment, survey: Survey, *, selection: Selection = ALL) -> None:
    """Raise `DatasetError` where a metric has nothing to compare with, or the provider would not take what is sent."""
    refuse_unexpected(experiment, survey, selection=selection)
    refuse_unsendable(experiment, survey, selection=selection)
