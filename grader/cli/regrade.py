"""`grader regrade`: grades a stored result again and says whether it is the same."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grader.cli.run import regrade_folder
from grader.experiment_profiler.grading import stored
from grader.experiment_profiler.grading.regrade import regrade
from grader.experiment_profiler.judging.verdict import Status

if TYPE_CHECKING:
    from grader.cli.main import Commands

SAME, DIFFERENT, ERROR = 0, 1, 2


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "regrade",
        allow_abbrev=False,
        help="grade a stored result again and compare",
        description="Grade a stored result again with its seed. Exits with 0 when it is the same, timings apart, else 1.",
    )
    parser.add_argument(
        "result", type=Path, metavar="FILE", help="what `grader grade` printed or kept, or the folder of `grader run`"
    )
    parser.add_argument("--line", type=int, metavar="N", help="which line of a file of many results, counted from 1")
    parser.add_argument("--submission", type=Path, metavar="DIR", help="where it lies now (default: where it lay)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.result.is_dir():
        return regrade_folder(args.result)
    try:
        again = regrade(stored.read(args.result, number=args.line), submission=args.submission)
    except stored.StoredResultError as error:
        print(f"grader regrade: error: {error}", file=sys.stderr)
        return ERROR
    for difference in again.differences:
        print(difference)
    print(f"{'the same' if again.same else 'different'}: {again.result.status.value}")
    if again.result.status is Status.ERROR:
        return ERROR
    return SAME if again.same else DIFFERENT
