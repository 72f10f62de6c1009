"""What each command does: calls one function of the library, prints, returns an exit code.

Results go to stdout, everything else to stderr. Knows no argument syntax; `cli` does.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from profiler import dataset, doctor, resume, summary, table
from profiler.codec import dump_pretty
from profiler.errors import Interrupted, ProfilerError, UsageError
from profiler.manifest import load_manifest
from profiler.metrics import BUILTIN, resolve
from profiler.progress import duration, lines_to, panel_on
from profiler.reduce import reduce_logs
from profiler.run import Options, run
from profiler.scaffold import scaffold
from profiler.schema import manifest_schema

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from profiler.manifest import Manifest
    from profiler.model import Mode
    from profiler.run import Result, Watch
    from profiler.settings import Experiment

OK, THRESHOLD_MISSED = 0, 1


def run_experiments(args: Namespace) -> int:
    """Run every selected experiment, one after the other."""
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    tell = _silent if args.quiet else _remark
    for warning in manifest.warnings:
        tell(str(warning))
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
        manifest_sha256=manifest.sha256,
        search_path=manifest.path.parent,
        limit=args.limit,
        concurrency=args.concurrency,
        fresh=args.fresh,
        retry_failed=args.retry_failed,
        fsync=args.fsync,
        signals=True,
    )
    watch = None if args.quiet else _watch()
    try:
        result = anyio.run(lambda: run(experiment, options=options, watch=watch, note=tell))
    except ProfilerError as error:
        if isinstance(error, Interrupted) or error.exit_code in (3, 4):
            error.hint = f"resume with: {args.again}"
        raise
    if result.answered_now:
        tell(
            f"{experiment.experiment_id}: {result.answered_now:,} dialogues in {duration(result.elapsed_s)} "
            f"({result.answered_now / result.elapsed_s:,.0f}/s)"
        )
    else:
        tell(f"{experiment.experiment_id}: already complete, nothing was asked")
    if not args.json:
        print(f"Completed experiment {experiment.experiment_id}")
        print(f"Metrics written to {result.folder / resume.SUMMARY}", flush=True)
    return result


def _report(args: Namespace, results: list[Result]) -> int:
    """What the run ends with: JSON, or a table when there is more than one experiment to compare."""
    if args.json:
        _print_json({"experiments": [_as_json(result) for result in results]})
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


def summarize(args: Namespace) -> int:
    folders = [found for folder in args.log_dir for found in _run_folders(Path(folder))]
    if args.recompute:
        summaries = [_recompute(folder, args.metric) for folder in folders]
    else:
        summaries = [summary.read(folder) for folder in folders]
    if args.json:
        _print_json(summaries[0] if len(summaries) == 1 else {"summaries": summaries})
    else:
        table.render(summaries, file=sys.stdout, by_tag=args.by_tag)
    return OK


def _run_folders(folder: Path) -> list[Path]:
    """The folder itself when it holds a run, else the runs in it."""
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: found no such folder", hint="--log-dir wants a run directory, such as runs/demo_run"
        )
    marks = (resume.SUMMARY, resume.RESPONSES)
    if any((folder / mark).exists() for mark in marks):
        return [folder]
    found = sorted(path for path in folder.iterdir() if any((path / mark).exists() for mark in marks))
    if not found:
        raise UsageError(f"{folder}: found no run in it", hint="--log-dir wants a run directory, such as runs/demo_run")
    return found


def _recompute(folder: Path, names: list[str] | None) -> dict[str, Any]:
    """Reduce the logs again; the facts about the run itself are only in its summary, if it has one."""
    complete = (folder / resume.SUMMARY).exists()
    facts = summary.read(folder)["run"] if complete else {"experiment_id": folder.resolve().name}
    asked = names or facts.get("metrics") or list(BUILTIN)
    reduction = reduce_logs(folder, resolve(asked, search_path=Path.cwd()), complete=complete)
    return summary.build(reduction, facts)


def validate(args: Namespace) -> int:
    """Everything that can be known to be wrong before a run."""
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    counts: dict[Path, int] = {}
    for experiment in manifest.experiments:
        resolve(experiment.metrics, search_path=manifest.path.parent)
        if experiment.dataset_path not in counts:
            counts[experiment.dataset_path] = dataset.survey(experiment.dataset_path).count
    rows = [
        {
            "experiment_id": experiment.experiment_id,
            "model": experiment.model,
            "dataset": str(experiment.dataset_path),
            "dialogues": counts[experiment.dataset_path],
        }
        for experiment in manifest.experiments
    ]
    if args.json:
        _print_json({"valid": True, "warnings": [str(each) for each in manifest.warnings], "experiments": rows})
        return OK
    for warning in manifest.warnings:
        _remark(str(warning))
    for row in rows:
        print(f"{row['experiment_id']}: {row['dialogues']:,} dialogues of {row['dataset']} to {row['model']}")
    print(f"{args.config} is valid")
    return OK


def schema(_: Namespace) -> int:
    _print_json(manifest_schema())
    return OK


def init(args: Namespace) -> int:
    for path in scaffold(Path(args.folder)):
        print(path)
    _remark(f"now: cd {shlex.quote(args.folder)} && profiler run --config configs/sample_experiment.yaml")
    return OK


def check_machine(args: Namespace) -> int:
    checks = doctor.examine(Path(args.output_dir), environ=os.environ)
    if args.json:
        _print_json({"checks": [{"name": c.name, "ok": c.ok, "found": c.found} for c in checks]})
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<12} {check.found}")
    return OK if all(check.ok for check in checks) else UsageError.exit_code


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


def _print_json(value: Any) -> None:
    sys.stdout.write(dump_pretty(value).decode())


def _remark(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(_: str) -> None:
    return None


def told(command: Callable[[Namespace], int]) -> Callable[[Namespace], int]:
    """Turn an expected failure into its message and its exit code."""

    def telling(args: Namespace) -> int:
        try:
            return command(args)
        except ProfilerError as error:
            print(f"error: {error}", file=sys.stderr)
            if error.hint:
                print(f"hint: {error.hint}", file=sys.stderr)
            return error.exit_code

    return telling


COMMANDS = {
    "run": told(run_experiments),
    "summarize": told(summarize),
    "validate": told(validate),
    "schema": told(schema),
    "init": told(init),
    "doctor": told(check_machine),
}
