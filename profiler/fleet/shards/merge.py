"""Puts a run together whose shards have all ended, and concludes it as any other run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import RunDirectoryError
from profiler.core.json import loads
from profiler.dataset.selection import Selection
from profiler.engine.result import Ended, Result, result_of
from profiler.engine.run_money import card_of_run
from profiler.fleet.preparing.prepare import Prepared, owed
from profiler.fleet.run import Fleet
from profiler.fleet.shards.stored_whole import StoredWhole
from profiler.fleet.shards.which_shard import way_on_of_shards
from profiler.fleet.shards.whole_cap import spent_by_shards
from profiler.fleet.spending import Spending
from profiler.metrics import state_json
from profiler.metrics.builtin import resolve
from profiler.metrics.reduction import Reduction
from profiler.money.budget import usd
from profiler.provider.requests import api_version_of
from profiler.provider.source import Source, source_of
from profiler.storage import journal, run_directory
from profiler.storage.identity import examine
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet
from profiler.storage.run_directory import Earlier
from profiler.storage.shared_runs.claims import Claims
from profiler.storage.shared_runs.range_table import Table, read_table
from profiler.storage.shared_runs.ranges import Merged, RangeFolders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from profiler.core.nouns import Mode
    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.storage.shared_runs.object_store import ObjectStore

NAMED = 5  # ranges that are not answered yet


def merge_all(
    experiments: Sequence[Experiment],
    *,
    options: Options,
    store: ObjectStore | None = None,
    note: Callable[[str], None],
) -> list[Ended]:
    """Merge each experiment that shards have answered; what is wrong with one touches no other."""
    found = []
    for experiment in experiments:
        name = experiment.experiment_id
        try:
            found.append(Ended(experiment_id=name, result=merge(experiment, options=options, store=store, note=note)))
        except Exception as error:  # noqa: BLE001 (as in a run: it is told when the others are merged)
            found.append(Ended(experiment_id=name, error=error))
    return found


def merge(
    experiment: Experiment, *, options: Options, store: ObjectStore | None = None, note: Callable[[str], None]
) -> Result:
    """The complete run, which has the bytes that one process would have written. What lies in a `store` stays there."""
    folder, begun = options.folder_of(experiment), time.perf_counter()
    if (done := _merged_before(experiment, options=options, note=note)) is not None:
        return done
    folders, claims = RangeFolders(folder), Claims(folder)
    stored = None if store is None else StoredWhole(store, folders)
    if stored is not None:
        with claims.whole():
            stored.pull()
    table = read_table(folder)
    if table is None:
        raise RunDirectoryError(
            f"{folder}: found no run that shards share", hint="profiler run --shard K/N … begins one"
        )
    _expect_all_answered(folders, table, claims, stored)
    with claims.whole(), run_directory.hold(folder, claimed=True, tell=note) as directory:
        asked = msgspec.structs.replace(options, mode=table.identity["mode"])
        prepared = _prepared(experiment, table, options=asked)
        if stored is not None:
            _fetch(stored, prepared)
        spending = Spending(prepared, options=asked, left=None)
        fleet = Fleet(prepared, directory, options=asked, processes=1, spending=spending, tell=note)
        by_shard = spent_by_shards(folders, table, folders.merged(), of=claims.divided_into() or 1)
        found = fleet.merge(_sessions(prepared.folders), by_shard=by_shard)
        return result_of(directory, found, kept=0, elapsed_s=time.perf_counter() - begun)


def _fetch(stored: StoredWhole, prepared: Prepared) -> None:
    stored.fetch_logs(prepared.table)
    if prepared.folders.merged() is None and prepared.source.mode == "live":
        money = stored.money_of_others()
        counted = msgspec.Raw(state_json.dump(Reduction(prepared.metrics)))
        prepared.folders.note(Merged(counted=counted, money=money, twice=money))


def _merged_before(experiment: Experiment, *, options: Options, note: Callable[[str], None]) -> Result | None:
    """A complete run as it stands. Whoever merges it again may not know that an earlier merge came to its end."""
    folder = options.folder_of(experiment)
    before = run_directory.earlier(folder)
    if before is None or before.summary is None:
        return None
    _expect_same(experiment, before, options=msgspec.structs.replace(options, mode=before.identity["mode"]))
    # This takes away what a merge that was killed has left.
    with run_directory.hold(folder, claimed=True, tell=note) as directory:
        return result_of(directory, before.summary, kept=before.count, elapsed_s=0.0)


@way_on_of_shards()
def _expect_same(experiment: Experiment, before: Earlier, *, options: Options) -> Source:
    """The shards were told which dialogues to ask, and in which mode; whoever merges need not say it again."""
    source = _source_of(experiment, before, mode=options.resolved_mode)
    chosen = Selection(limit=before.identity.get("limit"))
    now = examine(experiment, source=source, selection=chosen, before=before).header.identity
    if "selection" in before.identity:
        now["selection"] = before.identity["selection"]
    run_directory.refuse_another(options.folder_of(experiment), before.identity, now)
    return source


def _source_of(experiment: Experiment, before: Earlier, *, mode: Mode) -> Source:
    """Who was asked, as the shards recorded it. Nobody is asked now, so an address from their environment need not be
    set here."""
    address = before.identity.get("address")
    if mode == "mock" or experiment.client is not None or experiment.base_url is not None or address is None:
        return source_of(experiment, mode=mode, environ=os.environ)
    version = api_version_of(experiment)
    return Source(mode=mode, provider=experiment.provider, address=address, api_version=version)


def _prepared(experiment: Experiment, table: Table, *, options: Options) -> Prepared:
    source = _expect_same(experiment, Earlier(count=table.count, identity=table.identity), options=options)
    return Prepared(
        experiment=experiment,
        source=source,
        card=card_of_run(experiment, mode=source.mode, cap_usd=None),
        metrics=resolve(experiment.metrics, search_path=options.plugins_folder, pass_at=experiment.pass_at),
        folders=RangeFolders(options.folder_of(experiment)),
        table=table,
        survey=None,
    )


def _expect_all_answered(folders: RangeFolders, table: Table, claims: Claims, stored: StoredWhole | None) -> None:
    """Raise unless every item is answered and committed. The answers stay as they are."""
    merged = folders.merged()
    left = list(owed(folders, table, since=0 if merged is None else merged.end))
    if not left:
        return
    run, of, live = folders.root.parent, claims.divided_into(), table.identity.get("mode") == "live"
    kept, money = UnfinishedFleet(run, table).kept, folders.money()
    if stored is not None:
        kept += stored.kept_open()
        money += stored.money_of_others()
    named = ", ".join(f"{first:,} to {end - 1:,}" if end - first > 1 else f"{first:,}" for first, end in left[:NAMED])
    more = f" and {len(left) - NAMED:,} more pieces" if len(left) > NAMED else ""
    hint = "run the shards that have not ended once more; each goes on where it was"
    if of is not None:
        running = claims.answered_now()
        owing = sorted({table.range_of(first) % of for first, _ in left})
        asleep = [number for number in owing if number not in running]
        hint = _once_more(asleep, of) if asleep else "wait until they have ended, and merge then"
        if asleep and live:
            hint += ". One that a cap has stopped needs a larger one, and says which"
        more += f"; owed by {_shards(owing, of)}"
        if awake := [number for number in owing if number in running]:
            more += f", of which {_shards(awake, of)} {'is' if len(awake) == 1 else 'are'} being answered now"
    missing = table.count - kept
    said = (
        f"{missing:,} of {table.count:,} items are not answered yet: numbers"
        if missing
        else f"all {table.count:,} items are answered, but some are not counted and committed yet: numbers"
    )
    paid = f" for {usd(money.spent)}, and {usd(money.maybe)} may have been billed beside that" if live else ""
    raise RunDirectoryError(f"{run}: {said} {named}{more}. {kept:,} answers are kept{paid}", hint=hint)


def _shards(numbers: Sequence[int], of: int) -> str:
    """The numbers of shards in words, as one would write them for a job array."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"shard{'' if len(numbers) == 1 else 's'} {told} of {of}"


def _once_more(numbers: Sequence[int], of: int) -> str:
    if len(numbers) == 1:
        return f"run the command with --shard {numbers[0]}/{of} once more; it goes on where it was"
    return f"run {_shards(numbers, of)} once more (--shard K/{of}); each goes on where it was"


def _sessions(folders: RangeFolders) -> list[dict[str, Any]]:
    """The sessions of the shards, in the order in which they began."""
    found: list[dict[str, Any]] = []
    for path in sorted(folders.sessions.glob("*.jsonl")):
        of_shard: list[dict[str, Any]] = []
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                journal.add_session(of_shard, loads(line)["session"])
        found += of_shard
    return sorted(found, key=lambda each: str(each["started"]))
