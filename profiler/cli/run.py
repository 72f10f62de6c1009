"""`profiler run`: runs every selected experiment of a manifest one after the other, or says what that would cost."""

from __future__ import annotations

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.cli import summary_table, table
from profiler.cli.after_run import warnings
from profiler.cli.banner import banner, hints
from profiler.cli.dry_run_table import as_table
from profiler.cli.flags import refuse_useless_to_run, without_effect
from profiler.cli.output import print_json, remark
from profiler.cli.progress import duration, lines_to, panel_on
from profiler.core.errors import Interrupted, ProfilerError
from profiler.engine.dry_run import estimate
from profiler.engine.options import Options
from profiler.engine.preflight import check_all
from profiler.engine.runner import run_sync
from profiler.manifest.load import load_manifest
from profiler.money.price_list import card_of
from profiler.provider.source import choose_mode
from profiler.storage.kept_answers import kept_answers

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from profiler.core.nouns import Mode
    from profiler.engine.options import Watch
    from profiler.engine.result import Result
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment
    from profiler.storage.kept_answers import Kept

OK, THRESHOLD_MISSED, BUG = 0, 1, 70


def run_experiments(args: Namespace) -> int:
    """Run every selected experiment, one after the other."""
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
    options = _options(args, manifest, mode)
    if len(manifest.experiments) > 1:
        check_all(manifest.experiments, options=options)
    results: list[Result] = []
    try:
        for experiment in manifest.experiments:
            results.append(_run_one(experiment, options, args, tell=tell))  # noqa: PERF401 (an error must leave those before it)
    finally:
        _show(args, results)
    return _judge(args, results)


def _options(args: Namespace, manifest: Manifest, mode: Mode) -> Options:
    return Options(
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


def _run_one(experiment: Experiment, options: Options, args: Namespace, *, tell: Callable[[str], None]) -> Result:
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
    """What an earlier run in the same place has answered, so that this one would not ask it again."""
    folder = Path(args.output_dir) / experiment.experiment_id
    return kept_answers(experiment, folder=folder, limit=args.limit, retry_failed=args.retry_failed)


def _show(args: Namespace, results: list[Result]) -> None:
    """Print the results: JSON, or a table and, for each run, the two lines that scripts look for."""
    if args.json and results:
        print_json({"experiments": [_as_json(result) for result in results]})
    elif results:
        summary_table.render([result.summary for result in results], file=sys.stdout)
        for result in results:
            print(f"Completed experiment {result.summary['run']['experiment_id']}")
            print(f"Metrics written to {result.summary_path}", flush=True)


def _judge(args: Namespace, results: list[Result]) -> int:
    """Print on stderr what is wrong with the results and what to do next. Returns the exit code."""
    code = OK
    retry = shlex.join(["profiler", *_with_flag(args.given, "--retry-failed")])
    for result in results:
        name = result.summary["run"]["experiment_id"]
        counts = result.summary["counts"]
        lines = list(warnings(result.summary, result.folder, retry=retry))
        if not args.quiet or counts["error"]:
            for line in lines:
                remark(f"{name}: {line}" if not line.startswith(" ") else line)
        for sentence in result.missed:
            remark(f"threshold missed in {name}: {sentence}")
        failed = counts["error"] / counts["total"] if counts["total"] else 0.0
        if failed > args.fail_on_errors:
            remark(f"{name}: {failed:.1%} of the dialogues failed, above --fail-on-errors {args.fail_on_errors:g}")
        if result.missed or failed > args.fail_on_errors:
            code = THRESHOLD_MISSED
    if any("error" in found for result in results for found in result.summary["metrics"].values()):
        return BUG
    if not args.quiet and results:
        folder = results[0].folder if len(results) == 1 else Path(args.output_dir)
        tagged = ["--by-tag"] if any(result.summary["by_tag"] for result in results) else []
        remark(f"next: {shlex.join(['profiler', 'summarize', '--log-dir', str(folder), *tagged])}")
    return code


def _with_flag(words: list[str], flag: str) -> list[str]:
    return words if flag in words else [*words, flag]


def _as_json(result: Result) -> dict[str, Any]:
    rate = result.answered_now / result.elapsed_s if result.elapsed_s else None
    return {
        "log_dir": str(result.folder),
        "answered_now": result.answered_now,
        "kept": result.kept,
        "elapsed_s": round(result.elapsed_s, 3),
        "dialogues_per_s": rate and round(rate, 1),
        "missed": result.missed,
        "summary": result.summary,
    }


def _watch() -> Watch:
    """The panel where it can be drawn, else lines."""
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
    """The words without the cap, which may be `--max-cost 5` or `--max-cost=5`."""
    rest = iter(words)
    for word in rest:
        if word == "--max-cost":
            next(rest, None)
        elif not word.startswith("--max-cost="):
            yield word


def _silent(_: str) -> None:
    return None


COMMANDS = {"run": run_experiments}
