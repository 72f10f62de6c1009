"""`profiler run --processes N`, which shares a run among processes, and `profiler run --shard K/N`, which answers one
share."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio

from profiler.cli.flags import options_from
from profiler.cli.output import remark
from profiler.cli.progress import drawn_on
from profiler.cli.run_end import with_the_way_on
from profiler.core.errors import ProfilerError, UsageError
from profiler.engine.loop import loop_options
from profiler.engine.options import options_of
from profiler.engine.result import Ended
from profiler.engine.reuse import reusing
from profiler.fleet.many import Stops, run_all_by_processes
from profiler.fleet.shards.shard import run_shard
from profiler.fleet.shards.which_shard import Shard
from profiler.fleet.shards.whole_cap import share_of_whole_cap
from profiler.storage.shared_runs.object_store import object_store

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from profiler.core.nouns import Mode
    from profiler.engine.options import Options
    from profiler.fleet.coordination.fleet_view import Watch
    from profiler.manifest.load import Manifest
    from profiler.storage.reuse.reusable import Reusable


def ended_by_processes(
    args: Namespace, manifest: Manifest, *, options: Options, watch: Watch | None, tell: Callable[[str], None]
) -> list[Ended]:
    """Run by as many processes as are asked for, on this machine or on a cluster."""
    processes = args.processes or 1
    run = partial(run_all_by_processes, manifest, options=options, processes=processes, watch=watch, note=tell)
    if args.on is not None:
        from profiler.fleet.drivers.ray_driver import on_ray  # noqa: PLC0415 (only a run on a cluster needs it)

        run = partial(run, on=on_ray(args.on or None))
    # Small experiments are answered right here.
    return anyio.run(run, backend_options=loop_options(manifest.experiments, live=options.resolved_mode == "live"))


def answer_share(args: Namespace, manifest: Manifest, *, mode: Mode, tell: Callable[[str], None]) -> int:
    """Answer one shard of each experiment, one experiment after the other.

    An error of one experiment does not touch the others, except a signal and the cap of all, which stop every one, and
    trouble with the provider, which stops those that ask the same model.
    """
    store = None if args.store is None else object_store(args.store)
    broker = args.broker if mode == "live" else None
    number, of = args.shard
    shard = Shard(number, of, processes=args.processes or 1, broker=broker, store=store)
    options = options_from(args, manifest, mode)
    options = options_of(manifest, options)
    with (
        reusing(manifest.experiments, options=options, tell=tell) as reusable,
        share_of_whole_cap(manifest, shard, options=options) as left,
    ):
        failed = _answer_each(args, manifest, shard=shard, options=options, reusable=reusable, left=left, tell=tell)
    if failed:
        error = UsageError(
            f"shard {shard} of {len(failed):,} of {len(manifest.ids):,} experiments could not be answered"
        )
        error.exit_code = 70 if 70 in failed else min(failed)
        raise error
    merge = ["profiler", "merge", "--config", args.config]
    merge += ["--output-dir", str(args.output_dir)] if args.store is None else ["--store", args.store]
    tell(f"when all {shard.of} shards have ended: {shlex.join(merge)}")
    return 0


def _answer_each(
    args: Namespace,
    manifest: Manifest,
    *,
    shard: Shard,
    options: Options,
    reusable: Reusable | None,
    left: Callable[[], int | None],
    tell: Callable[[str], None],
) -> list[int]:
    """Returns the exit code of each experiment that could not be answered."""
    failed, watch, stops = list[int](), None if args.quiet else drawn_on(sys.stderr), Stops()
    for experiment in manifest.experiments:
        if (reason := stops.of(experiment)) is not None:
            failed.append(reason.exit_code)
            remark(f"{experiment.experiment_id}: not begun")
            continue
        room = left()
        run = partial(
            run_shard,
            experiment,
            shard=shard,
            options=options,
            reusable=reusable,
            left=room,
            watch=watch,
            note=tell,
        )
        try:
            ended = anyio.run(run)
        except ProfilerError as error:
            told = with_the_way_on(error, args)
            stops.heard(experiment, Ended(experiment_id=experiment.experiment_id, error=error))
            if stops.every is not None or len(manifest.ids) == 1:
                raise told from error
            failed.append(error.exit_code)
            remark(f"{experiment.experiment_id}: {told}" + (f" ({error.hint})" if error.hint else ""))
            continue
        print(f"Completed shard {shard} of {experiment.experiment_id}")
        if ended.was_complete:
            tell(f"{ended.folder.name}: already complete, nothing was asked")
        else:
            tell(f"{ended.folder.name}: {ended.answered_now:,} answered now, {ended.kept:,} were kept")
    return failed
