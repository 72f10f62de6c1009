"""`profiler merge`: puts a run together that shards have answered, and ends as the run itself would have ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark
from profiler.cli.run_end import conclude
from profiler.engine.options import Options
from profiler.fleet.merge import merge_all
from profiler.manifest.load import load_manifest
from profiler.storage.object_store import object_store

if TYPE_CHECKING:
    from argparse import Namespace


def merge(args: Namespace) -> int:
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    tell = _silent if args.quiet else remark
    options = Options(
        output_dir=Path(args.output_dir), manifest_sha256=manifest.sha256, search_path=manifest.path.parent
    )
    begun = time.monotonic()
    store = None if args.store is None else object_store(args.store)
    ended = merge_all(manifest.experiments, options=options, store=store, note=tell)
    return conclude(args, ended, elapsed_s=time.monotonic() - begun, tell=tell)


def _silent(_: str) -> None:
    return None


COMMANDS = {"merge": merge}
