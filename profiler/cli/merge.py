"""`profiler merge`: puts a run together that shards have answered, and ends as the run itself would have ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark
from profiler.cli.run_end import conclude
from profiler.core.wording import silent
from profiler.engine.options import Options
from profiler.fleet.shards.merge import merge_all
from profiler.manifest.load import load_manifest
from profiler.storage.shared_runs.object_store import object_store

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from profiler.engine.result import Result


def merge(args: Namespace) -> int:
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    tell = silent if args.quiet else remark
    options = Options(
        output_dir=Path(args.output_dir), manifest_sha256=manifest.sha256, search_path=manifest.path.parent
    )
    store = None if args.store is None else object_store(args.store)
    ended = merge_all(manifest.experiments, options=options, store=store, note=tell)
    _tell_what_was_done([each.result for each in ended if each.result is not None], tell=tell)
    return conclude(args, ended, elapsed_s=None, tell=tell)


def _tell_what_was_done(results: Sequence[Result], *, tell: Callable[[str], None]) -> None:
    """Merging asks nothing, so there is no pace to tell."""
    now = sum(result.answered_now > 0 for result in results)
    if len(results) > 1:
        tell(f"experiments put together: {now:,} of {len(results):,}, the others were complete before")
    elif results:
        tell(f"{results[0].folder.name}: {'put together' if now else 'already complete'}")


COMMANDS = {"merge": merge}
