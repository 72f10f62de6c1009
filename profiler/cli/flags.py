"""Checks what was given on the command line, and makes the engine's `Options` of it. Which options exist is in
`cli/options/`.

Flags that do not fit together are refused, and those that change nothing are warned of.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.core.errors import UsageError
from profiler.engine.options import Options

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from profiler.core.nouns import Mode
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment


def refuse_useless_to_run(args: Namespace) -> None:
    """Raise when flags of `run` contradict each other, or one is useless without another."""
    if args.assume_latency is not None and not args.dry_run:
        raise UsageError(
            "--assume-latency needs --dry-run: it only says which latency the estimate assumes", hint="add --dry-run"
        )
    if args.retry_failed and args.fresh:
        raise UsageError(
            "--retry-failed and --fresh contradict each other: one goes on with the earlier run, the other starts over",
            hint="give one of the two",
        )
    if args.sample is None and (args.seed is not None or args.by is not None):
        flag = "--by" if args.seed is None else "--seed"
        raise UsageError(f"{flag} needs --sample: it says how the sample is drawn", hint="add --sample N")
    if args.shard is not None:
        _refuse_with_shard(args)
    else:
        _refuse_without_shard(args)
    if args.on is not None and args.processes is None:
        raise UsageError(
            "--on needs --processes: it says where they run, not how many there are", hint="add --processes N"
        )
    if args.on is not None and args.shard is not None:
        raise UsageError(
            "--on and --shard contradict each other: one runs all of it on a cluster, the other a part of it here",
            hint="give one of the two",
        )
    if args.dry_run and args.fail_on_errors != 1.0:
        raise UsageError(
            "--fail-on-errors has no effect with --dry-run, which gets no answers", hint="give one of the two"
        )


def _refuse_without_shard(args: Namespace) -> None:
    if args.broker is not None:
        raise UsageError(
            "--broker needs --shard: it lends limits and money to shards; a whole run needs no broker",
            hint="add --shard K/N",
        )
    if args.store is not None:
        raise UsageError(
            "--store needs --shard: shards put their answers there; a whole run has its own folder",
            hint="add --shard K/N",
        )


def _refuse_with_shard(args: Namespace) -> None:
    useless = {"--fresh": args.fresh, "--json": args.json, "--fail-on-errors": args.fail_on_errors != 1.0}
    if found := next((flag for flag, given in useless.items() if given), None):
        raise UsageError(
            f"{found} is for a whole run, and --shard answers a part of one",
            hint="move the folder aside before the first shard begins" if found == "--fresh" else "give it to merge",
        )


def wanted_ids(args: Namespace) -> tuple[str, ...]:
    """The ids of --ids and --ids-from, each once, in the order given."""
    ids = [name.strip() for name in args.ids.split(",")] if args.ids is not None else []
    if args.ids_from is not None:
        ids += [line.strip() for line in _text_of(args.ids_from).splitlines()]
    told = tuple(dict.fromkeys(filter(None, ids)))
    if not told and (args.ids is not None or args.ids_from is not None):
        raise UsageError(f"{'--ids' if args.ids_from is None else args.ids_from}: found no id")
    return told


def _text_of(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def refuse_useless_to_summarize(args: Namespace) -> None:
    if args.metric and not args.recompute:
        raise UsageError("--metric needs --recompute, which counts again from the logs", hint="add --recompute")


def without_effect(args: Namespace, mode: Mode, experiments: Sequence[Experiment]) -> str | None:
    """A warning that names the flags of `run` that have no effect here; None if all have one."""
    idle: list[str] = []
    if args.client is not None and (mode == "mock" or all(each.client is not None for each in experiments)):
        idle.append("--client")
    if args.max_cost is not None and mode == "mock":
        idle.append("--max-cost")
    if not idle:
        return None
    why = "in mock mode, where nothing is sent or spent" if mode == "mock" else "on a client of your own"
    return f"warning: {' and '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect {why}"


def options_from(args: Namespace, manifest: Manifest, mode: Mode) -> Options:
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
