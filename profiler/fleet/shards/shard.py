"""One of N commands that share a run and know nothing of each other: on the machines of a job array, say.

Each answers every N-th range, in the folder that all of them see, with an equal share of the limits and of the cap.
`merge` puts the run together when all have ended.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import anyio

from profiler.core.errors import RunDirectoryError
from profiler.core.one_error import one_error
from profiler.engine.threads import in_thread
from profiler.fleet.drivers.process_driver import processes as process_driver
from profiler.fleet.preparing.prepare import copy_dialogues, prepare
from profiler.fleet.shards.shard_work import ShardWork
from profiler.fleet.shards.stored_run import StoredRun
from profiler.fleet.shards.which_shard import Shard, way_on_of_shards
from profiler.provider.source import source_of
from profiler.storage import run_directory
from profiler.storage.folder_lock import locked
from profiler.storage.identity import examine
from profiler.storage.run_directory import RunDirectory
from profiler.storage.shared_runs.claims import Claims
from profiler.storage.shared_runs.lease import RENEWED_EVERY_S
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.fleet.coordination.fleet_view import Watch
    from profiler.fleet.drivers.driver import Driver
    from profiler.fleet.preparing.prepare import Prepared
    from profiler.manifest.settings import Experiment
    from profiler.storage.reuse.reusable import Reusable
    from profiler.storage.shared_runs.lease import Lease


class ShardEnded(NamedTuple):
    """What a shard has done: items answered now, and those of its ranges that were answered before; of a run that is put
    together already, all of its items."""

    folder: Path
    answered_now: int
    kept: int
    elapsed_s: float

    @property
    def was_complete(self) -> bool:
        return not self.answered_now


async def run_shard(
    experiment: Experiment,
    *,
    shard: Shard,
    options: Options,
    reusable: Reusable | None = None,
    left: int | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None],
    on: Callable[[Path], AbstractAsyncContextManager[Driver]] = process_driver,
) -> ShardEnded:
    """Answer the ranges of one shard. The same call goes on after an error.

    Where the shard has a broker, that lends what limits and cap allow; without one each has an equal share. `left` is what a
    cap over several experiments leaves to this shard, in pico-dollars.
    """
    folder, begun = options.folder_of(experiment), time.perf_counter()
    if (count := _complete(experiment, folder, options)) is not None:
        return ShardEnded(folder, 0, count, time.perf_counter() - begun)
    folders, claims = RangeFolders(folder), Claims(folder)
    with one_error(), locked(folder, shared=True, claimed=True), claims.shard(shard.number) as lease:
        if (count := _complete(experiment, folder, options)) is not None:  # put together while this one came
            folders.remove()
            return ShardEnded(folder, 0, count, time.perf_counter() - begun)
        _expect_as_many(folder, shard, claims.divided_into())
        also = [] if lease is None else [partial(_renewing, lease)]
        stored = None if shard.store is None else StoredRun(shard.store, folders)
        async with on(folders.logs / f"shard-{shard.number}") as driver:
            for number in range(shard.processes):
                driver.start(number)
            prepared = await in_thread(partial(_prepared, experiment, shard, stored, options=options))
            work = ShardWork(prepared, shard, options=options, tell=note, reusable=reusable, left=left)
            if stored is None:
                await work.run(driver, watch=watch, also=also)
            else:
                await _run_away(work, stored, driver, watch=watch, also=also)
    return ShardEnded(folder, work.total - work.kept, work.kept, time.perf_counter() - begun)


@way_on_of_shards()
def _prepared(experiment: Experiment, shard: Shard, stored: StoredRun | None, *, options: Options) -> Prepared:
    folder = options.folder_of(experiment)
    if stored is not None:
        stored.pull_table()
    prepared = prepare(experiment, RunDirectory(folder), options=options, processes=shard.of)
    _expect_as_many(folder, shard, Claims(folder).agree(shard.of))
    if stored is None:
        return prepared
    table, of = stored.agree(shard.of)
    run_directory.refuse_another(folder, table.identity, prepared.table.identity)
    _expect_as_many(folder, shard, of)
    if table.copied and not prepared.folders.dialogues.exists():
        copy_dialogues(experiment, prepared.folders, options.selection, count=table.count // table.repeats)
    stored.take_in(lambda first: shard.has(table.range_of(first)))
    return prepared._replace(table=table)


async def _run_away(
    work: ShardWork,
    stored: StoredRun,
    driver: Driver,
    *,
    watch: Watch | None,
    also: Sequence[Callable[[], Awaitable[None]]],
) -> None:
    """Run a shard against an object store, and put what it has answered there, whatever ends it."""
    try:
        await work.run(driver, watch=watch, also=[*also, stored.keep_putting])
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(stored.put_all)
    if left := work.left():
        raise RunDirectoryError(
            f"{left:,} items are not answered yet: another machine has begun the same shard, and its part was committed first",
            hint="give the same command once more",
        )


@way_on_of_shards()
def _complete(experiment: Experiment, folder: Path, options: Options) -> int | None:
    """How many items the complete run has that is here, None where it is not complete. A job array that is started once
    more, after its run was put together, has nothing to do."""
    before = run_directory.earlier(folder)
    if before is None:
        return None
    if before.summary is None:
        raise RunDirectoryError(
            f"{folder}: holds a run that one process has begun, and shards cannot take it up",
            hint="go on with it without --shard (--processes N uses more cores), or choose another --output-dir",
        )
    source = source_of(experiment, mode=options.resolved_mode, environ=os.environ)
    asked = examine(experiment, source=source, selection=options.selection, before=before).header
    run_directory.refuse_another(folder, before.identity, asked.identity)
    if options.retry_failed and before.summary["counts"].get("error"):
        raise RunDirectoryError(
            f"{folder}: is complete, and what failed in it is asked again by one process", hint="leave --shard out"
        )
    return before.count


def _expect_as_many(folder: Path, shard: Shard, of: int | None) -> None:
    """The ranges are divided once: otherwise some would be answered twice, and some by nobody."""
    if of not in (None, shard.of):
        raise RunDirectoryError(
            f"{folder}: was begun as {of} shards, and --shard {shard} would divide it into {shard.of}",
            hint=f"go on with --shard K/{of} for K from 0 to {of - 1}, each with as many --processes as its machine has "
            "cores for; or end it on one machine with --processes N and without --shard",
        )


async def _renewing(lease: Lease) -> None:
    while True:
        await anyio.sleep(RENEWED_EVERY_S)
        await in_thread(lease.renew)
