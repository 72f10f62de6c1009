"""`profiler run --dry-run`: what the run would ask and cost."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from profiler.cli import table
from profiler.cli.dry_run_table import as_table
from profiler.cli.flags import options_from
from profiler.cli.output import print_json, remark
from profiler.engine.dry_run import estimate
from profiler.engine.options import options_of
from profiler.engine.reuse import reusing
from profiler.engine.run_money import least_cap
from profiler.money.budget import usd
from profiler.money.price_list import card_of
from profiler.money.prices import pico
from profiler.provider.source import source_of
from profiler.storage.kept_answers import kept_answers

if TYPE_CHECKING:
    from argparse import Namespace

    from profiler.engine.options import Options
    from profiler.engine.session import Known
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment
    from profiler.storage.kept_answers import Kept
    from profiler.storage.reuse.reusable import Reusable


def dry_run(args: Namespace, manifest: Manifest) -> int:
    """What the run would ask and cost, whatever the mode; nothing is sent or written."""
    now, options = datetime.now(UTC), options_of(manifest, options_from(args, manifest, "live"))
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
