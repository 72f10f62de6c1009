"""`grader run` and `grader show-episode`: their options.

`run_actions` does the work. It needs pandas, which takes a second to import, so it is loaded only when it is needed.
"""

from __future__ import annotations

import argparse
from functools import partial
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

from profiler.cli.options.values import at_least_one, cluster
from task_kit.sandbox.level import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from grader.cli.main import Commands

TASK: Final = "leakage_modeling"
ACTIONS: Final = "grader.cli.run_actions"
CONFIG: Final = Path("configs/leakage_modeling.yaml")
LEVELS: Final = tuple(level.label for level in Level)

RUN_HELP: Final = """\
Play episodes and grade them. Locally, policies of known skill and cheats run on the same worlds, beside an oracle. As an
agent, a model plays over the API when ANTHROPIC_API_KEY is set, else scripted agents do; which of the two is said loudly.

exit codes:
  0  every episode was graded           3  the provider refused to go on
  2  usage, or episodes without verdict 4  stopped at --max-cost
                                        130  interrupted

After 2, 3, 4 and 130, --resume plays what has no verdict yet; a folder that was not begun yet is begun."""


def add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="play and grade episodes",
        description=RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FOLDER",
        help="continue a run that was interrupted, with its own settings",
    )
    parser.set_defaults(run=partial(act, "run"))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that decide which episodes are played and how they are shown; `calibrate` has them too."""
    parser.add_argument("task", choices=[TASK], help="what is played")
    parser.add_argument("--mode", choices=("local", "agent"), default="local", help="who plays (default: local)")
    parser.add_argument("--runs", type=int, metavar="N", help="worlds, one episode of an agent each (default: 10)")
    parser.add_argument("--model", metavar="ID", help="the model that plays (default: claude-haiku-4-5)")
    parser.add_argument("--difficulty", type=int, choices=range(4), help="0 to 3 (default: 1)")
    parser.add_argument(
        "--family",
        metavar="NAME",
        help="seen, held-out, or one family of stories (default: seen; from difficulty 1 on)",
    )
    parser.add_argument(
        "--grading", choices=("regret", "legacy-threshold"), help="legacy-threshold is the rule of the public original"
    )
    parser.add_argument("--concurrency", type=int, metavar="C", help="episodes at once (default: 8)")
    parser.add_argument(
        "--jobs",
        type=at_least_one,
        metavar="N",
        help="processes that play, each one episode at a time, where no model does",
    )
    parser.add_argument("--on", type=cluster, metavar="ray[:ADDRESS]", help="run these processes on a Ray cluster")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {CONFIG}, where there is one)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="the folder of the run (default: a new one below runs/)"
    )
    parser.add_argument(
        "--seed", metavar="S", help="with a secret, decides the worlds (default: a new one, kept in the folder)"
    )
    parser.add_argument(
        "--seed-secret",
        type=Path,
        metavar="FILE",
        help="a secret to mix --seed with; the same secret and seed give the same worlds (default: one of this installation)",
    )
    parser.add_argument("--scripted", action="store_true", help="scripted agents, even if a key is set")
    parser.add_argument("--max-cost", type=_dollars, metavar="USD", help="stop before the model costs more")
    parser.add_argument(
        "--require-isolation",
        choices=LEVELS,
        metavar="LEVEL",
        help=f"refuse to run with weaker isolation: {', '.join(LEVELS)}",
    )
    parser.add_argument("--json", action="store_true", help="for programs: everything, as one document")
    parser.add_argument("--verbose", action="store_true", help="each episode as it ends, on stderr")


def add_show_episode(commands: Commands) -> None:
    parser = commands.add_parser(
        "show-episode",
        help="show one episode step by step",
        description="Show one episode of a run: what the model said and called, what came back, and the verdict.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that `grader run` wrote")
    parser.add_argument(
        "episode", nargs="?", metavar="NAME", help="the name of an episode, or its beginning (default: the first)"
    )
    parser.add_argument("--json", action="store_true", help="as one document of the trajectory format ATIF")
    parser.set_defaults(run=partial(act, "show_episode"))


def act(name: str, given: argparse.Namespace | Path) -> int:
    """Call a function of `run_actions`."""
    action: Callable[[argparse.Namespace | Path], int] = getattr(import_module(ACTIONS), name)
    return action(given)


def regrade_folder(path: Path) -> int:
    """Grade every episode of a run again. 0 if all verdicts are the same to the bit."""
    return act("regrade_folder", path)


def _dollars(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected dollars above 0")
    return value
