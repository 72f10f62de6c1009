"""`profiler run`: every selected experiment of a manifest, one after the other, or what it would cost.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.cli import table
from profiler.cli.dry_run_table import as_table
from profiler.cli.output import print_json, remark
from profiler.cli.progress import duration, lines_to, panel_on
from profiler.core.errors import Interrupted, ProfilerError
from profiler.engine.dry_run import estimate
from profiler.engine.options import Options
from profiler.engine.runner import run_sync
from profiler.manifest.load import load_manifest
from profiler.money.price_list import card_of
from profiler.storage import resume
from profiler.storage.kept_answers import kept_answers

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from profiler.core.nouns import Mode
    from profiler.engine.options import Watch
    from profiler.engine.runner import Result
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment
    from profiler.storage.kept_answers import Kept

OK, THRESHOLD_MISSED = 0, 1


def run_experiments(args: Namespace) -> int:
    """Run every selected experiment, one after the other."""
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    tell = _silent if args.quiet else remark
    for warning in manifest.warnings:
        tell(str(warning))
    if args.dry_run:
        return _dry_run(args, manifest)
    mode = choose_mode(args.mode, os.environ)
    tell(_banner(mode, manifest))
    results = [_run_one(experiment, manifest, args, mode=mode, tell=tell) for experiment in manifest.experiments]
    return _report(args, results)


def _run_one(
    experiment: Experiment, manifest: Manifest, args: Namespace, *, mode: Mode, tell: Callable[[str], None]
) -> Result:
    options = Options(
        output_dir=Path(args.output_dir),
        mode=mode,
        lane=args.client,
        manifest_sha256=manifest.sha256,
        search_path=manifest.path.parent,
        limit=args.limit,
        concurrency=args.concurrency,
        max_cost_usd=args.max_cost,
        fresh=args.fresh,
        retry_failed=args.retry_failed,
        fsync=args.fsync,
        signals=True,
    )
    watch = None if args.quiet else _watch()
    try:
        result = run_sync(experiment, options=options, watch=watch, note=tell)
    except ProfilerError as error:
        if isinstance(error, Interrupted) or error.exit_code in (3, 4):
            again = _resume_command(args, enough_usd=getattr(error, "enough_usd", None))
            error.hint = "; ".join(filter(None, [error.hint, f"resume with: {again}"]))
        raise
    if result.answered_now:
        bound = result.summary["run"].get("bound_by")
        tell(
            f"{experiment.experiment_id}: {result.answered_now:,} dialogues in {duration(result.elapsed_s)} "
            f"({result.answered_now / result.elapsed_s:,.0f}/s)" + (f", bound by {bound['most']}" if bound else "")
        )
    else:
        tell(f"{experiment.experiment_id}: already complete, nothing was asked")
    if not args.json:
        print(f"Completed experiment {experiment.experiment_id}")
        print(f"Metrics written to {result.folder / resume.SUMMARY}", flush=True)
    return result


def _dry_run(args: Namespace, manifest: Manifest) -> int:
    """What the run would ask and cost, whatever the mode; nothing is sent or written."""
    now = datetime.now(UTC)
    estimates = [
        estimate(
            experiment,
            card=card_of(experiment, at=now),
            kept=None if args.fresh else _kept(experiment, args),
            limit=args.limit,
            max_cost_usd=experiment.max_cost_usd if args.max_cost is None else args.max_cost,
            concurrency=args.concurrency,
            latency_s=args.assume_latency,
        )
        for experiment in manifest.experiments
    ]
    if args.json:
        print_json({"dry_run": [msgspec.to_builtins(each) for each in estimates]})
    else:
        table.draw([as_table(estimates)], file=sys.stdout)
    return OK


def _kept(experiment: Experiment, args: Namespace) -> Kept | None:
    """What an earlier run in the same place has answered, and this one would not ask again."""
    options = Options(output_dir=Path(args.output_dir), limit=args.limit, retry_failed=args.retry_failed)
    return kept_answers(experiment, options=options)


def _report(args: Namespace, results: list[Result]) -> int:
    """What the run ends with: JSON, or a table when there is more than one experiment to compare."""
    if args.json:
        print_json({"experiments": [_as_json(result) for result in results]})
    elif len(results) > 1:
        table.render([result.summary for result in results], file=sys.stdout)
    for result in results:
        for sentence in result.missed:
            print(f"threshold missed in {result.folder.name}: {sentence}", file=sys.stderr)
    return THRESHOLD_MISSED if any(result.missed for result in results) else OK


def _as_json(result: Result) -> dict[str, Any]:
    rate = result.answered_now / result.elapsed_s if result.elapsed_s else None
    return {
        "log_dir": str(result.folder),
        "answered_now": result.answered_now,
        "kept": result.kept,
        "elapsed_s": round(result.elapsed_s, 3),
        "dialogues_per_s": rate and round(rate, 1),
        "summary": result.summary,
    }


def choose_mode(asked: str, environ: os._Environ[str] | dict[str, str]) -> Mode:
    """auto is live if and only if a key is set."""
    if asked == "auto":
        asked = "live" if environ.get("ANTHROPIC_API_KEY") else "mock"
    return "live" if asked == "live" else "mock"


def _banner(mode: Mode, manifest: Manifest) -> str:
    count = len(manifest.experiments)
    what = f"{count} experiment{'s' if count != 1 else ''}"
    if mode == "mock":
        return f"MODE: MOCK — {what}, answered by the deterministic mock; no provider is asked, nothing is spent"
    return f"MODE: LIVE — {what}, asked of the provider; this spends money"


def _watch() -> Watch:
    """The panel where it can be drawn, lines elsewhere."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and (sys.stderr.encoding or "").lower() == "utf-8":
        try:
            from rich.console import Console  # noqa: PLC0415 (rich is loaded only when it draws)
        except ImportError:
            return lines_to(sys.stderr)
        return panel_on(Console(stderr=True))
    return lines_to(sys.stderr)


def _resume_command(args: Namespace, *, enough_usd: float | None = None) -> str:
    words: list[str] = args.given
    if enough_usd is not None:
        words = [*_without_cap(words), "--max-cost", f"{enough_usd:g}"]
    return shlex.join(["profiler", *words])


def _without_cap(words: list[str]) -> Iterator[str]:
    """Both spellings: `--max-cost 5` and `--max-cost=5`."""
    rest = iter(words)
    for word in rest:
        if word == "--max-cost":
            next(rest, None)
        elif not word.startswith("--max-cost="):
            yield word


def _silent(_: str) -> None:
    return None
