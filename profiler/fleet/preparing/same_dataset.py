"""Makes sure, before the workers begin, that the dataset is the one that the ranges were laid down for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.dataset import file, unchanged
from profiler.provider.requests import planner_of
from profiler.storage.questions import expect_same_lines
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet

if TYPE_CHECKING:
    from profiler.dataset.selection import Selection
    from profiler.fleet.preparing.prepare import Prepared


def expect_same_dataset(prepared: Prepared, *, selection: Selection) -> unchanged.Stamp:
    """Returns what shows whether it is written to from here on."""
    experiment, table = prepared.experiment, prepared.table
    path, stamp = experiment.dataset_path, unchanged.stamp(experiment.dataset_path)
    unchanged.expect_unchanged(path, since=table.dataset_stamp, sha256=table.identity["dataset_sha256"])
    if stamp != table.dataset_stamp and not table.copied:  # somebody wrote to it, and may have put it back
        run = prepared.folders.root.parent
        kept = (asked for asked, _ in UnfinishedFleet(run, table).lines())
        with file.reading(path, fields=experiment.dataset_fields, selection=selection) as dialogues:
            expect_same_lines(kept, planner_of(experiment).plan(dialogues), run=run)
    return stamp
