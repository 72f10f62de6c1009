"""`profiler run`: runs every selected experiment of a manifest, all of them together, or says what that would cost."""

from __future__ import annotations

import os
import shlex
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from profiler.cli import table
from profiler.cli.banner import banner, hints
from profiler.cli.dry_run_table import as_table
from profiler.cli.flags import refuse_useless_to_run, wanted_ids, without_effect
from profiler.cli.output import print_json, remark
from profiler.cli.progress import drawn_on
from profiler.cli.run_end import conclude, with_the_way_on
from profiler.core.errors import ProfilerError, UsageError
from profiler.engine.dry_run import estimate
from profiler.engine.options import Options, options_of
from profiler.engine.reuse import reusing
from profiler.engine.run_money import least_cap
from profiler.engine.runner import run_all_sync
from profiler.fleet.many import run_all_by_processes
from profiler.fleet.shard import run_shard
from profiler.fleet.shard_work import Shard
from profiler.manifest.load import load_manifest
from profiler.money.budget import usd
from profiler.money.price_list import card_of
from profiler.money.prices import pico
from profiler.provider.source import choose_mode, source_of
from profiler.storage.kept_answers import kept_answers
from profiler.storage.object_store import object_store
from profiler.storage.ranges import read_table

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from profiler.core.nouns import Mode
    from profiler.engine.result import Ended
    from profiler.engine.session import Known
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment
    from profiler.storage.kept_answers import Kept
    from profiler.storage.reuse.reusable import Reusable


def run_experiments(args: Namespace) -> int:
    """The command `run`: runs every selected experiment, all of them together."""
    refuse_useless_to_run(args)
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    tell = _silent if args.quiet else remark
    for warning in manifest.warnings:
        tell(str(warning))
    if args.dry_run:
        return _dry_run(args, manifest)
    mode = choose_mode(args.mode, os.environ)
    tell(banner(mode, manifest.experiments))
    for hint in hints(mode, manifest.experiments, os.environ):
        tell(hint)
    if (idle := without_effect(args, mode, manifest.experiments)) is not None:
        tell(idle)
    if args.shard is not None:
        return _run_shard(args, manifest, mode=mode, tell=tell)
    begun = time.monotonic()
    try:
        ended = _ended(args, manifest, mode=mode, tell=tell)
    except ProfilerError as error:
        raise with_the_way_on(error, args) from error
    return conclude(args, ended, elapsed_s=time.monotonic() - begun, tell=tell)


def _ended(args: Namespace, manifest: Manifest, *, mode: Mode, tell: Callable[[str], None]) -> list[Ended]:
    """By one process, or by as many as are asked for. What several have begun several go on with."""
    options, watch = _options(args, manifest, mode), None if args.quiet else drawn_on(sys.stderr)
    processes = args.processes or 1
    shared = not args.fresh and any(read_table(options.folder_of(each)) is not None for each in manifest.experiments)
    if processes == 1 and not shared:
        return run_all_sync(manifest, options=options, watch=watch, note=tell)
    run = partial(run_all_by_processes, manifest, options=options, processes=processes, watch=watch, note=tell)
    if args.on is not None:
        from profiler.fleet.ray_driver import on_ray  # noqa: PLC0415 (only a run on a cluster needs it)

        run = partial(run, on=on_ray(args.on or None))
    return anyio.run(run)


def _run_shard(args: Namespace, manifest: Manifest, *, mode: Mode, tell: Callable[[str], None]) -> int:
    """The share of one of several commands that know nothing of each other; an experiment after the other. What is wrong
    with one touches no other, but a signal, the money and the provider stop them all."""
    store = None if args.store is None else object_store(args.store)
    broker = args.broker if mode == "live" else None
    number, of = args.shard
    shard = Shard(number, of, processes=args.processes or 1, broker=broker, store=store)
    options = _options(args, manifest, mode)
    options, watch = options_of(manifest, options), None if args.quiet else drawn_on(sys.stderr)
    if len(manifest.ids) > 1 and options.max_cost_usd is not None:
        raise UsageError(
            "--shard cannot hold a cap over several experiments: no shard knows what the others spend",
            hint="give each experiment its own max_cost_usd, or run one with --select",
        )
    failed = 0
    for experiment in manifest.experiments:
        run = partial(
            run_shard,
            experiment,
            shard=shard,
            options=options,
            watch=watch,
            note=tell,
        )
        try:
            ended = anyio.run(run)
        except ProfilerError as error:
            told = with_the_way_on(error, args)
            if error.exit_code != ProfilerError.exit_code or len(manifest.ids) == 1:
                raise told from error
            failed += 1
            remark(f"{experiment.experiment_id}: {told}" + (f" ({error.hint})" if error.hint else ""))
            continue
        print(f"Completed shard {shard} of {experiment.experiment_id}")
        if ended.was_complete:
            tell(f"{ended.folder.name}: already complete, nothing was asked")
        else:
            tell(f"{ended.folder.name}: {ended.answered_now:,} answered now, {ended.kept:,} were kept")
    if failed:
        raise UsageError(f"shard {shard} of {failed:,} of {len(manifest.ids):,} experiments could not be answered")
    merge = ["profiler", "merge", "--config", args.config]
    merge += ["--output-dir", str(args.output_dir)] if args.store is None else ["--store", args.store]
    tell(f"when all {shard.of} shards have ended: {shlex.join(merge)}")
    return 0


def _options(args: Namespace, manifest: Manifest, mode: Mode) -> Options:
    return Options(
        output_dir=Path(args.output_dir),
        mode=mode,
        lane=args.client,
        manifest_sha256=manifest.sha256,
        search_path=manifest.path.parent,
        limit=args.limit,
        ids=wanted_ids(args),
        tags=tuple(args.tag),
        sample=args.sample,
        seed=args.seed or 0,
        by_tag=args.by is not None,
        concurrency=args.concurrency,
        max_cost_usd=args.max_cost,
        fresh=args.fresh,
        retry_failed=args.retry_failed,
        reuse=tuple(args.reuse),
        fsync=args.fsync,
        signals=True,
        in_turn=args.in_turn,
    )


def _dry_run(args: Namespace, manifest: Manifest) -> int:
    """What the run would ask and cost, whatever the mode; nothing is sent or written."""
    now, options = datetime.now(UTC), options_of(manifest, _options(args, manifest, "live"))
    with reusing(manifest.experiments, options=options, tell=remark) as reusable:
        estimates = [
            estimate(
                experiment,
                card=card_of(experiment, at=now),
                kept=None if args.fresh else _kept(experiment, args, options),
                known=None if reusable is None else _known(experiment, options, reusable),
                selection=options.selection,
                max_cost_usd=least_cap(experiment, options),
                concurrency=args.concurrency,
                latency_s=args.assume_latency,
            )
            for experiment in manifest.experiments
        ]
    likely = sum(each.billed_before_usd + (each.cost_usd.expected if each.cost_usd else 0.0) for each in estimates)
    if options.max_cost_usd is not None and len(estimates) > 1 and likely > options.max_cost_usd:
        whole, cap = usd(pico(likely)), usd(pico(options.max_cost_usd))
        remark(f"warning: all experiments together will probably come to {whole}, above their cap of {cap}")
    if args.json:
        print_json({"dry_run": [msgspec.to_builtins(each) for each in estimates]})
    else:
        table.draw([as_table(estimates)], file=sys.stdout)
    return 0


def _kept(experiment: Experiment, args: Namespace, options: Options) -> Kept | None:
    """What an earlier run in the same place has answered, so that this one would not ask it again."""
    folder = Path(args.output_dir) / experiment.experiment_id
    return kept_answers(experiment, folder=folder, selection=options.selection, retry_failed=args.retry_failed)


def _known(experiment: Experiment, options: Options, reusable: Reusable) -> Known | None:
    """A function that finds the answers of earlier runs that a live run would take over."""
    source = msgspec.structs.asdict(source_of(experiment, mode="live", environ=os.environ))
    answers = reusable.answers_for(options.folder_of(experiment), source)
    return None if answers is None else answers.find


def _silent(_: str) -> None:
    return None


COMMANDS = {"run": run_experiments}
