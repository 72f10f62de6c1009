"""What `grader run`, `show-episode` and `regrade FOLDER` do: call the library, print, and return an exit code."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from grader.cli import run_table
from grader.cli.hiring import hire
from grader.cli.run import CONFIG, TASK
from grader.leakage_modeling.grading import folder as folders
from grader.leakage_modeling.grading.many import play_many
from grader.leakage_modeling.grading.regrade import regrade
from grader.leakage_modeling.grading.runs import Plan, play_all
from grader.leakage_modeling.grading.seeds import sealed_seed, secret_in, secret_of_installation
from profiler.cli.table import draw
from profiler.core.errors import ProfilerError, UsageError
from profiler.core.json import dump_pretty
from task_kit.leakage_modeling.agents.scripted import VARIANTS
from task_kit.leakage_modeling.agents.transcript import read
from task_kit.leakage_modeling.worker.nursery import open_nursery
from task_kit.leakage_modeling.worlds.settings import Settings, load_settings, override
from task_kit.sandbox import Level, SandboxError, detect

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from grader.leakage_modeling.grading.folder import EpisodeResult
    from grader.leakage_modeling.grading.runs import Report
    from task_kit.sandbox.zygote import Zygote

KEY: Final = "ANTHROPIC_API_KEY"
FLAGS: Final = {"num_runs": "--runs", "model": "--model", "concurrency": "--concurrency", "family": "--family"}
# A run that is resumed has decided these already, so they cannot be given again.
DECIDED: Final = (
    *("runs", "model", "difficulty", "family", "grading", "concurrency", "config", "output", "seed", "seed_secret"),
    "scripted",
)
SAME, DIFFERENT, ERROR, SIGNALLED = 0, 1, 2, 128


def run(args: argparse.Namespace) -> int:
    folder = args.resume
    begun = folder is not None and not folders.RunFolder(folder).is_empty()
    try:
        plan = resumed_plan(args) if begun else plan_of(args)
        folder = folder or default_output(args, what=plan.mode)
        (report,) = played(args, {folder: plan}, resume=begun)
    except (ProfilerError, SandboxError) as error:
        return refused("run", error)
    except KeyboardInterrupt as stopped:
        if folder is None or not (folder / folders.RUN).exists():
            raise
        print(f"\ngrader run: interrupted; episodes with a verdict are kept. {go_on(folder)}", file=sys.stderr)
        return SIGNALLED + getattr(stopped, "number", signal.SIGINT)
    if args.json:
        sys.stdout.buffer.write(dump_pretty(as_json(report)))
    else:
        tables = [run_table.by_episode(report.run, report.results)] if plan.mode == "agent" or args.verbose else []
        tables += [run_table.by_agent(report.run, report.results)] if plan.mode == "local" else []
        draw(tables, file=sys.stdout)
        print(f"Kept in {report.folder}; `grader show-episode {report.folder} NAME` tells an episode")
    if report.stopped is not None:
        print(f"grader run: stopped: {report.stopped}. {go_on(folder)}", file=sys.stderr)
        return report.stopped.exit_code
    if any(result.status == "error" for result in report.results):
        print(f"grader run: some episodes have no verdict. {go_on(folder)}", file=sys.stderr)
        return ERROR
    return 0


def go_on(folder: Path) -> str:
    return f"Go on with: grader run {TASK} --resume {folder}"


def as_json(report: Report) -> dict[str, Any]:
    """The whole run as plain values."""
    status = [result.status for result in report.results]
    counts = {
        "asked": report.asked,
        "played": len(status),
        "graded": len(status) - status.count("error"),
        "excluded": status.count("error"),
        "passed": status.count("pass"),
    }
    return {
        **msgspec.to_builtins(report.run),
        "folder": str(report.folder),
        "counts": counts,
        "stopped": None if report.stopped is None else str(report.stopped),
        "episodes": msgspec.to_builtins(report.results),
    }


def show_episode(args: argparse.Namespace) -> int:
    folder = folders.RunFolder(args.folder)
    try:
        run = folder.run()
        name = _chosen(folder.names(), args.episode)
        path = folder.episode(name) / folders.TRANSCRIPT
        result = folder.result(name)
        if args.json and not path.exists():
            raise UsageError(f"{name}: has no transcript: nobody called a tool")
        story = read(path) if path.exists() else None
    except (ProfilerError, OSError) as error:
        return refused("show-episode", error)
    if args.json and story is not None:
        sys.stdout.buffer.write(dump_pretty(story.trajectory()))
    else:
        print(run_table.banner(run))
        sys.stdout.write(run_table.told(story, result))
    return 0


def regrade_folder(path: Path) -> int:
    """Grade every episode of a run again. 0 if all verdicts are the same to the bit."""
    folder = folders.RunFolder(path)
    try:
        run = folder.run()
        found = list(regrade(folder))
    except ProfilerError as error:
        return refused("regrade", error)
    draw([run_table.regraded_table(run, found)], file=sys.stdout)
    different = [one for one in found if one.differs is not None]
    print(f"{'different' if different else 'the same'}: {len(found) - len(different)} of {len(found)} episodes")
    return DIFFERENT if different else SAME


def plan_of(args: argparse.Namespace) -> Plan:
    live = args.mode == "agent" and not args.scripted and bool(os.environ.get(KEY, "").strip())
    seed = None if args.seed is None else sealed_seed(args.seed, secret=_secret(args))
    return Plan(mode=args.mode, settings=settings_of(args), live=live, seed=seed, max_cost_usd=args.max_cost)


def _secret(args: argparse.Namespace) -> bytes:
    return secret_of_installation(os.environ) if args.seed_secret is None else secret_in(args.seed_secret)


def resumed_plan(args: argparse.Namespace) -> Plan:
    """The plan of the run in the folder. Options that would make it another run are refused."""
    values = {name: getattr(args, name) for name in DECIDED}
    given = [
        f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None and value is not False
    ]
    if given:
        raise UsageError(f"--resume takes its settings from the folder, found {', '.join(given)} beside it")
    return plan_of_folder(args.resume, max_cost_usd=args.max_cost)


def plan_of_folder(folder: Path, *, max_cost_usd: float | None) -> Plan:
    """The plan that the run in a folder was made from."""
    run = folders.RunFolder(folder).run()
    if run.live and not os.environ.get(KEY, "").strip():
        raise UsageError(f"{folder}: a model plays in this run, found no {KEY}", hint=f"set {KEY}")
    return Plan(
        mode=run.mode,
        settings=run.settings,
        live=run.live,
        seed=run.sealed_seed,
        repeats=run.repeats,
        only=None if run.only is None else frozenset(run.only),
        variants=tuple(variant for variant in VARIANTS if variant in run.variants),
        max_cost_usd=max_cost_usd,
    )


def settings_of(args: argparse.Namespace) -> Settings:
    path = args.config or (CONFIG if CONFIG.is_file() else None)
    given = {
        "num_runs": args.runs,
        "model": args.model,
        "difficulty": args.difficulty,
        "family": args.family,
        "grading": args.grading,
        "concurrency": args.concurrency,
    }
    try:
        return override(Settings(), **given) if path is None else load_settings(path, **given)
    except msgspec.ValidationError as error:
        message, _, field = str(error).removesuffix("`").partition(" - at `$.")
        raise UsageError(f"{FLAGS.get(field, field)}: found {given.get(field)!r}: {message}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot read: {error.strerror or error}") from error


def default_output(args: argparse.Namespace, *, what: str) -> Path:
    return args.output or Path("runs") / f"{TASK}-{what}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def played(args: argparse.Namespace, plans: Mapping[Path, Plan], *, resume: bool = False) -> list[Report]:
    """Play plans one after the other, each into its folder, all with one nursery or by the processes of --jobs."""
    level = None if args.require_isolation is None else Level.parse(args.require_isolation)
    if args.on is not None and args.jobs is None:
        raise UsageError("--on says where several processes play, and not how many", hint="add --jobs N")
    told = tell if args.verbose else keep_quiet
    if args.jobs is not None:
        isolation = detect(level).level.label
        return [
            play_many(
                plan,
                isolation=isolation,
                output=output,
                tell=told,
                hire=hire(args.on),
                processes=args.jobs,
                resume=resume,
            )
            for output, plan in plans.items()
        ]

    async def play(nursery: Zygote) -> list[Report]:
        return [
            await play_all(
                plan,
                nursery=nursery,
                isolation=nursery.level.label,
                output=output,
                environ=os.environ,
                tell=told,
                resume=resume,
            )
            for output, plan in plans.items()
        ]

    with open_nursery(level=level) as nursery:
        return anyio.run(play, nursery)


def _chosen(names: Sequence[str], wanted: str | None) -> str:
    found = [name for name in names if wanted is None or name.startswith(wanted)]
    if not found:
        raise UsageError(f"found no episode {wanted!r}", hint=f"there are {', '.join(names[:20]) or 'none'}")
    return wanted if wanted in found else found[0]


def tell(result: EpisodeResult) -> None:
    reason = f" ({result.reason})" if result.reason else ""
    print(f"{result.episode}: {result.status}{reason}: {result.sentence}", file=sys.stderr)


def keep_quiet(result: EpisodeResult) -> None:
    """Print nothing until all episodes are done."""


def refused(command: str, error: Exception) -> int:
    hint = getattr(error, "hint", None)
    print(f"grader {command}: error: {error}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr)
    return ERROR
