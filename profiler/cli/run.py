"""`profiler run`: runs every selected experiment of a manifest, all of them together."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.banner import banner, hints
from profiler.cli.flags import options_from, refuse_useless_to_run, without_effect
from profiler.cli.output import remark
from profiler.cli.progress import drawn_on
from profiler.cli.run_end import conclude, with_the_way_on
from profiler.core.errors import ProfilerError
from profiler.core.wording import silent
from profiler.engine.runner import run_all_sync
from profiler.manifest.load import load_manifest
from profiler.provider.source import choose_mode
from profiler.storage.run_directory import shared_by_processes

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from profiler.core.nouns import Mode
    from profiler.engine.result import Ended
    from profiler.manifest.load import Manifest


def run_experiments(args: Namespace) -> int:
    """The command `run`: runs every selected experiment, all of them together."""
    refuse_useless_to_run(args)
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    tell = silent if args.quiet else remark
    for warning in manifest.warnings:
        tell(str(warning))
    if args.dry_run:
        from profiler.cli.dry_run import dry_run  # noqa: PLC0415 (only it needs what reckons)

        return dry_run(args, manifest)
    mode = choose_mode(args.mode, os.environ)
    tell(banner(mode, manifest.experiments))
    for hint in hints(mode, manifest.experiments, os.environ):
        tell(hint)
    if (idle := without_effect(args, mode, manifest.experiments)) is not None:
        tell(idle)
    if args.shard is not None:
        from profiler.cli.run_shared import answer_share  # noqa: PLC0415 (only it needs what processes share)

        return answer_share(args, manifest, mode=mode, tell=tell)
    begun = time.monotonic()
    try:
        ended = _ended(args, manifest, mode=mode, tell=tell)
    except ProfilerError as error:
        raise with_the_way_on(error, args) from error
    return conclude(args, ended, elapsed_s=time.monotonic() - begun, tell=tell)


def _ended(args: Namespace, manifest: Manifest, *, mode: Mode, tell: Callable[[str], None]) -> list[Ended]:
    """Run by one process, or by as many as are asked for. A run that several have begun is gone on with by several."""
    options, watch = options_from(args, manifest, mode), None if args.quiet else drawn_on(sys.stderr)
    if (args.processes or 1) == 1:
        shared = not args.fresh and any(map(shared_by_processes, map(options.folder_of, manifest.experiments)))
        if not shared:
            return run_all_sync(manifest, options=options, watch=watch, note=tell)
    from profiler.cli.run_shared import ended_by_processes  # noqa: PLC0415 (only it needs what processes share)

    return ended_by_processes(args, manifest, options=options, watch=watch, tell=tell)


COMMANDS = {"run": run_experiments}
