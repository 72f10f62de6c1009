"""`grader calibrate`: its options. `calibrate_action` does the work, and is imported only when it is needed."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grader.cli.run import add_options
from profiler.cli.options.values import at_least_one

if TYPE_CHECKING:
    from grader.cli.main import Commands

QUANTILE: Final = 0.75
PER_SEED: Final = 2

HELP: Final = """\
How hard is the task for this agent, is that in the band worth training on (10 to 40 % pass), and which threshold would put it
there? Plays N worlds with the agent (or, locally, with one policy), each of them K times, and the same worlds with the oracle,
the no-op and every leak. An episode without a submission, with an invalid one or out of time counts as a fail; one that the
provider or the grader broke is excluded, and told. The verdict rests on the exact interval. It is wrong in at most 5 % of
calibrations, however often one of them is gone on with (--more) and looked at again: each look spends a part of the 5 %.

The threshold is found on one half of the seeds and tried on the other. It is refused when the oracle cannot reach it, and when it
would split an agent that does the same in every repeat, which only its world could decide.

exit codes:
  0  certainly in the band              2  usage, or nothing could be graded
  1  below, above or undecided          3  the provider refused to go on
                                        4  stopped at --max-cost"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "calibrate",
        help="find how hard a task is, and how sure that is",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument(
        "--quantile",
        type=_share,
        default=QUANTILE,
        metavar="Q",
        help=f"the recommended threshold lets the best 1 - Q pass (default: {QUANTILE})",
    )
    parser.add_argument(
        "--per-seed",
        type=at_least_one,
        default=PER_SEED,
        metavar="K",
        help=f"episodes in each world (default: {PER_SEED}; with 1 no threshold is recommended)",
    )
    parser.add_argument("--policy", default="plain_logistic", metavar="NAME", help="who plays in --mode local")
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FOLDER",
        help="the folder of an earlier calibration: compute again, play nothing",
    )
    parser.add_argument(
        "--more", type=at_least_one, metavar="N", help="with --from: play N more worlds, and look again"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    code: int = import_module("grader.cli.calibrate_action").run(args)
    return code


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number between 0 and 1")
    return value
