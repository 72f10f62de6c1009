"""`profiler broker`: shares limits, calls at once and the cap of one experiment out among commands with `--shard`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from profiler.cli.output import remark
from profiler.core.errors import UsageError
from profiler.engine.options import Options, options_of
from profiler.fleet.shards.broker_service import serve_broker
from profiler.manifest.load import load_manifest

if TYPE_CHECKING:
    from argparse import Namespace


def broker(args: Namespace) -> int:
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    if len(manifest.experiments) != 1:
        names = ", ".join(each.experiment_id for each in manifest.experiments)
        raise UsageError(f"a broker serves one experiment, found {names}", hint="choose one with --select")
    options = Options(output_dir=Path(args.output_dir), concurrency=args.concurrency, max_cost_usd=args.max_cost)
    host, port = args.listen

    async def serve() -> None:
        await serve_broker(
            manifest.experiments[0],
            options=options_of(manifest, options),
            workers=args.workers,
            host=host,
            port=port,
            environ=os.environ,
            tell=remark,
        )

    anyio.run(serve)
    return 0


COMMANDS = {"broker": broker}
