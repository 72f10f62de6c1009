"""Surveys a run once, before its workers begin: what it asks, in which ranges, and what of it is answered already."""

from __future__ import annotations

import os
import secrets
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from profiler.dataset import unchanged
from profiler.dataset.places import has_places, places, write_lines
from profiler.dataset.slices import thinned
from profiler.engine.run_money import card_of_run, least_cap
from profiler.fleet.preparing.adopt import adopt, let_go, started
from profiler.metrics import state_json
from profiler.metrics.builtin import resolve
from profiler.metrics.unfit_dataset import refuse_unfit
from profiler.provider.source import source_of
from profiler.storage.identity import examine
from profiler.storage.journal import Header, read_header
from profiler.storage.names import JOURNAL
from profiler.storage.run_directory import Earlier, refuse_another
from profiler.storage.shared_runs.range_table import Table
from profiler.storage.shared_runs.ranges import RangeFolders
from profiler.storage.whole_file import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from profiler.dataset.file import Survey
    from profiler.dataset.selection import Selection
    from profiler.dataset.slices import Surveyed
    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.metrics.metric import Metric
    from profiler.money.prices import RateCard
    from profiler.provider.source import Source
    from profiler.storage.run_directory import RunDirectory
    from profiler.storage.shared_runs.ranges import Candidate

LEAST_ITEMS: Final = 1_000
MOST_ITEMS: Final = 10_000
RANGES_A_WORKER: Final = 8  # where there are enough items: then the last ones end at about the same time

Range = tuple[int, int]  # the first index, and the one behind the last


class Prepared(NamedTuple):
    """A run that can begin. `survey` is None where an earlier command has checked the dataset."""

    experiment: Experiment
    source: Source
    card: RateCard | None
    metrics: Sequence[Metric[Any]]
    folders: RangeFolders
    table: Table
    survey: Survey | None


def prepare(
    experiment: Experiment,
    directory: RunDirectory,
    *,
    options: Options,
    processes: int,
    known: Surveyed | None = None,
) -> Prepared:
    """Find everything that is wrong before the first call, and lay the ranges down, or find those that are there.

    What workers have found in the dataset is `known`.
    """
    source = source_of(experiment, mode=options.resolved_mode, environ=os.environ)
    card = card_of_run(experiment, mode=source.mode, cap_usd=least_cap(experiment, options))
    metrics = resolve(experiment.metrics, search_path=options.plugins_folder, pass_at=experiment.pass_at)
    state_json.refuse_unspeakable(metrics)
    folders = RangeFolders(directory.folder)
    table, begun = folders.table(), directory.earlier  # the latter by one process, which has let go of it
    if table is None and begun is None:
        directory.refuse_strays()
    stamp = unchanged.stamp(experiment.dataset_path) if known is None else known.stamp
    before = begun if table is None else Earlier(count=table.count, identity=table.identity)
    seen, selection = None if known is None else known.survey, options.selection
    header, survey = examine(experiment, source=source, selection=selection, before=before, stamp=stamp, known=seen)
    if before is not None:
        refuse_another(directory.folder, before.identity, header.identity)
    if survey is not None:
        refuse_unfit(experiment, survey, selection=options.selection)
    if table is None:
        if begun is not None:
            header = msgspec.structs.replace(header, started=started(directory.folder))
        table = _laid_down(experiment, header, folders, options=options, processes=processes, known=known)
        unchanged.expect_unwritten(experiment.dataset_path, since=stamp, sha256=header.identity["dataset_sha256"])
        if begun is not None:
            adopt(directory.folder, table, folders, metrics)
        else:
            table = folders.begin(table)
            refuse_another(directory.folder, table.identity, header.identity)
    elif begun is not None:  # whoever adopted it was killed at the end
        let_go(directory.folder)
    return Prepared(experiment, source, card, metrics, folders, table, survey)


def _laid_down(
    experiment: Experiment,
    header: Header,
    folders: RangeFolders,
    *,
    options: Options,
    processes: int,
    known: Surveyed | None,
) -> Table:
    path, selection = experiment.dataset_path, options.selection
    dialogues = header.count // header.repeats
    copied = not has_places(path, selection)
    if copied:
        copy_dialogues(experiment, folders, selection, count=dialogues)
    every = items_of_a_range(header.count, processes=processes) // header.repeats or 1
    if known is not None:
        found = thinned(known.places, every=every, count=dialogues)
    else:
        found = places(folders.dialogues if copied else path, every=every, count=dialogues)
    return Table(
        count=header.count,
        identity=header.identity,
        started=header.started,
        dataset_stamp=unchanged.stamp(path),
        copied=copied,
        places=found,
    )


def copy_dialogues(experiment: Experiment, folders: RangeFolders, selection: Selection, *, count: int) -> None:
    """Write the dialogues down one a line. Of several shards that do so at once each writes the same."""
    folders.root.mkdir(parents=True, exist_ok=True)
    draft = folders.dialogues.with_name(f".{folders.dialogues.name}-{secrets.token_hex(4)}.tmp")
    write_lines(experiment.dataset_path, draft, fields=experiment.dataset_fields, selection=selection, count=count)
    replace(draft, folders.dialogues)


def items_of_a_range(count: int, *, processes: int) -> int:
    wanted = min(MOST_ITEMS, max(LEAST_ITEMS, count // (RANGES_A_WORKER * processes)))
    return max(1, min(wanted, -(-count // processes)))


def owed(folders: RangeFolders, table: Table, *, since: int) -> Iterator[Range]:
    """What is not committed of the items from `since` on, in pieces.

    A piece ends where a range ends, or as far as a candidate for it reaches that somebody has begun, and before the next
    candidate: so no answer is lost.
    """
    reaches = {each.first: reach(each) for each in folders.candidates()}  # the last candidate of each
    stops = sorted({*folders.all_done(), *reaches, table.count})
    ends = [*table.firsts[1:], table.count]
    at = folders.chain_end(since, table.count)
    while at < table.count:
        end = reaches.get(at) or ends[bisect_right(ends, at)]
        end = min(end, stops[bisect_right(stops, at)])
        yield at, end
        at = folders.chain_end(end, table.count)


def reach(candidate: Candidate) -> int | None:
    """The index behind the last item that a candidate was begun with. It may have left some of them to others since."""
    header = read_header(candidate.folder / JOURNAL)
    return None if header is None else header.first + header.count
