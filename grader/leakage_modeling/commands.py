"""`grader run`, `grader show-episode`, and `grader regrade` for the folder of a run: what can be asked, and what is shown.

Parses, calls one function, prints, gives an exit code. What needs pandas is imported when it is used: `--help` does not.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from profiler.codec import dump_pretty
from profiler.errors import ProfilerError, UsageError
from profiler.table import draw
from task_kit.sandbox import Level, SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grader.cli import Commands
    from grader.leakage_modeling.folder import EpisodeResult
    from grader.leakage_modeling.regrade import Regraded
    from grader.leakage_modeling.runs import Plan, Report
    from task_kit.leakage_modeling.settings import Settings
    from task_kit.sandbox.zygote import Zygote

TASK: Final = "leakage_modeling"
CONFIG: Final = Path("configs/leakage_modeling.yaml")
KEY: Final = "ANTHROPIC_API_KEY"
LEVELS: Final = ("process", "kernel", "namespaces", "container")
SAME, DIFFERENT, ERROR = 0, 1, 2

RUN_HELP: Final = """\
Play episodes and grade them. Locally, policies of known skill and cheats run on the same worlds, beside an oracle. As an
agent, a model plays over the API when ANTHROPIC_API_KEY is set, else scripted agents do; which of the two is said loudly.

exit codes:
  0  every episode was graded           3  the provider refused to go on
  2  usage, or episodes without verdict 4  stopped at --max-cost"""


def add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="play and grade episodes",
        description=RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What decides which episodes are played, and how they are told."""
    parser.add_argument("task", choices=[TASK], help="what is played")
    parser.add_argument("--mode", choices=("local", "agent"), default="local", help="who plays (default: local)")
    parser.add_argument("--runs", type=int, metavar="N", help="worlds, one episode of an agent each (default: 10)")
    parser.add_argument("--model", metavar="ID", help="the model that plays (default: claude-haiku-4-5)")
    parser.add_argument("--difficulty", type=int, choices=range(4), help="0 to 3 (default: 0)")
    parser.add_argument(
        "--grading", choices=("regret", "legacy-threshold"), help="legacy-threshold is the rule of the public original"
    )
    parser.add_argument("--concurrency", type=int, metavar="C", help="episodes at once (default: 8)")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {CONFIG}, where there is one)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the run is kept (default: below runs/)")
    parser.add_argument("--seed", metavar="S", help="decides the worlds (default: a secret one, kept in the folder)")
    parser.add_argument("--scripted", action="store_true", help="scripted agents, whatever keys are set")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="stop before the model costs more")
    parser.add_argument(
        "--require-isolation", choices=LEVELS, metavar="LEVEL", help=f"refuse less: {', '.join(LEVELS)}"
    )
    parser.add_argument("--json", action="store_true", help="for programs: everything, as one document")
    parser.add_argument("--verbose", action="store_true", help="each episode as it ends, on stderr")


def add_show_episode(commands: Commands) -> None:
    parser = commands.add_parser(
        "show-episode",
        help="tell one episode step by step",
        description="Tell one episode of a run: what was said and called, what came back, and the verdict.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what `grader run` kept")
    parser.add_argument("episode", nargs="?", metavar="NAME", help="its name or its beginning (default: the first)")
    parser.add_argument("--json", action="store_true", help="as one document of the trajectory format ATIF")
    parser.set_defaults(run=show_episode)


def run(args: argparse.Namespace) -> int:
    show = import_module("grader.leakage_modeling.show")
    try:
        plan = plan_of(args)
        (report,) = played(args, {default_output(args, what=plan.mode): plan})
    except (ProfilerError, SandboxError) as error:
        return refused("run", error)
    if args.json:
        sys.stdout.buffer.write(dump_pretty(as_json(report)))
    else:
        tables = [show.by_episode(report.run, report.results)] if plan.mode == "agent" or args.verbose else []
        tables += [show.by_agent(report.run, report.results)] if plan.mode == "local" else []
        draw(tables, file=sys.stdout)
        print(f"Kept in {report.folder}; `grader show-episode {report.folder} NAME` tells an episode")
    if report.stopped is not None:
        print(f"grader run: stopped: {report.stopped}", file=sys.stderr)
        return report.stopped.exit_code
    return ERROR if any(result.status == "error" for result in report.results) else 0


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
    folders = import_module("grader.leakage_modeling.folder")
    transcripts = import_module("task_kit.leakage_modeling.transcript")
    show = import_module("grader.leakage_modeling.show")
    folder = folders.RunFolder(args.folder)
    try:
        run = folder.run()
        name = _chosen(folder.names(), args.episode)
        path = folder.episode(name) / folders.TRANSCRIPT
        if not path.exists():
            raise UsageError(f"{name}: has no transcript: nobody called a tool")
        story, result = transcripts.read(path), folder.result(name)
    except (ProfilerError, OSError) as error:
        return refused("show-episode", error)
    if args.json:
        sys.stdout.buffer.write(dump_pretty(story.trajectory()))
    else:
        print(show.banner(run))
        sys.stdout.write(show.told(story, result))
    return 0


def regrade_folder(path: Path) -> int:
    """Every episode of a run again; 0 when all verdicts come out the same to the bit."""
    show = import_module("grader.leakage_modeling.show")
    folder = import_module("grader.leakage_modeling.folder").RunFolder(path)
    try:
        run = folder.run()
        found: Sequence[Regraded] = list(import_module("grader.leakage_modeling.regrade").regrade(folder))
    except ProfilerError as error:
        return refused("regrade", error)
    draw([show.regraded_table(run, found)], file=sys.stdout)
    different = [one for one in found if one.differs is not None]
    print(f"{'different' if different else 'the same'}: {len(found) - len(different)} of {len(found)} episodes")
    return DIFFERENT if different else SAME


def plan_of(args: argparse.Namespace) -> Plan:
    runs = import_module("grader.leakage_modeling.runs")
    live = args.mode == "agent" and not args.scripted and bool(os.environ.get(KEY, "").strip())
    plan: Plan = runs.Plan(
        mode=args.mode, settings=settings_of(args), live=live, seed=args.seed, max_cost_usd=args.max_cost
    )
    return plan


def settings_of(args: argparse.Namespace) -> Settings:
    settings = import_module("task_kit.leakage_modeling.settings")
    path = args.config or (CONFIG if CONFIG.is_file() else None)
    given = {
        "num_runs": args.runs,
        "model": args.model,
        "difficulty": args.difficulty,
        "grading": args.grading,
        "concurrency": args.concurrency,
    }
    try:
        found: Settings = (
            settings.override(settings.Settings(), **given) if path is None else settings.load_settings(path, **given)
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"settings: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot read: {error.strerror or error}") from error
    return found


def default_output(args: argparse.Namespace, *, what: str) -> Path:
    return args.output or Path("runs") / f"{TASK}-{what}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def played(args: argparse.Namespace, plans: Mapping[Path, Plan]) -> list[Report]:
    """Play plans one after the other, each into its folder, in boxes of one nursery."""
    runs = import_module("grader.leakage_modeling.runs")
    nurseries = import_module("task_kit.leakage_modeling.nursery")
    level = None if args.require_isolation is None else Level.parse(args.require_isolation)

    async def play(nursery: Zygote) -> list[Report]:
        return [
            await runs.play_all(
                plan,
                nursery=nursery,
                isolation=nursery.level.label,
                output=output,
                environ=os.environ,
                tell=tell if args.verbose else keep_quiet,
            )
            for output, plan in plans.items()
        ]

    with nurseries.open_nursery(level=level) as nursery:
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
    """Nothing is shown until all is known."""


def refused(command: str, error: Exception) -> int:
    hint = getattr(error, "hint", None)
    print(f"grader {command}: error: {error}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr)
    return ERROR
