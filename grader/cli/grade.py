"""`grader grade`: its options, and how the result is shown."""

from __future__ import annotations

import argparse
import glob
import json
import math
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.cli import grade_table
from grader.cli.run import LEVELS
from grader.experiment_profiler.grading import stored
from grader.experiment_profiler.grading.grade import TASK, TIMEOUT_S, WORLDS, Asked, Grading, draw_seed, reference
from grader.experiment_profiler.judging.verdict import Result, Status
from profiler.cli.options.values import cluster
from profiler.core.errors import ProfilerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grader.cli.main import Commands
    from grader.experiment_profiler.boxes.box import Box
    from task_kit.sandbox import Outcome

SAID_LIMIT = 2000


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "grade",
        allow_abbrev=False,
        help="grade one submission, or many",
        description="Grade a submission in worlds that nobody has seen. Exits with 0 for pass, 1 for fail, 2 for error.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--submission", type=Path, metavar="DIR", help="the folder to grade")
    what.add_argument("--submissions", metavar="GLOB", help="many folders, such as 'dir/*'; needs --output")
    what.add_argument("--use-reference", action="store_true", help="the submission that solves the task")
    parser.add_argument("--seed", default="", help="decides the worlds (default: a secret one, which the result names)")
    parser.add_argument(
        "--worlds",
        type=_count,
        default=WORLDS,
        metavar="N",
        help="worlds besides the sample (default: 3; fewer do not cover every kind)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="S",
        help="for each process, without its waiting for a processor (default: 10)",
    )
    parser.add_argument(
        "--isolation", choices=LEVELS, metavar="LEVEL", help="use this level instead of the strongest that holds here"
    )
    parser.add_argument(
        "--require-isolation",
        choices=LEVELS,
        metavar="LEVEL",
        help=f"refuse to grade with weaker isolation: {', '.join(LEVELS)}",
    )
    parser.add_argument(
        "--partial", action="store_true", help="reward the parts of a failed submission that really work"
    )
    parser.add_argument(
        "--fail-fast", action="store_true", help="end at the first process that fails: the same verdict"
    )
    parser.add_argument(
        "--jobs",
        type=_count,
        metavar="N",
        help="with --submissions: processes that grade, each one at a time (default: 1)",
    )
    parser.add_argument(
        "--on",
        type=cluster,
        metavar="ray[:ADDRESS]",
        help="run these processes on a Ray cluster, to which the submissions are sent",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the result here; with --submissions one a line"
    )
    parser.add_argument(
        "--json", action=argparse.BooleanOptionalAction, help="for programs; the default where stdout is no terminal"
    )
    parser.add_argument("--no-timings", action="store_true", help="leave out `timings`, the only part that varies")
    parser.add_argument("--verbose", action="store_true", help="also what each process said, on stderr")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    asked = Asked(
        seed=args.seed,
        worlds=args.worlds,
        timeout_s=args.timeout,
        isolation=args.isolation,
        require_isolation=args.require_isolation,
        partial=args.partial,
        fail_fast=args.fail_fast,
    )
    if args.submissions is None and (args.jobs is not None or args.on is not None):
        return _refuse(f"{'--on' if args.jobs is None else '--jobs'} is for many, and --submissions names none")
    if args.on is not None and args.jobs is None:
        return _refuse("--on says where several processes grade, and not how many; add --jobs N")
    try:
        return _run_one(args, asked) if args.submissions is None else _run_many(args, asked)
    except stored.StoredResultError as error:
        return _refuse(str(error))
    except ProfilerError as error:
        return _refuse(f"{error}" if error.hint is None else f"{error}; {error.hint}")


def _run_one(args: argparse.Namespace, asked: Asked) -> int:
    """Grade one submission. The output file holds an error until the grading has come to its end."""
    folder = reference() if args.use_reference else args.submission
    own = Asked(**{**asked.public(), "seed": asked.seed or draw_seed()})
    if args.output is not None:
        stored.write(args.output, Result(task=TASK, asked=own.public()).as_dict(timings=False))
    result = Grading(own, watch=_tell if args.verbose else None).run(folder)
    values = result.as_dict(timings=not args.no_timings)
    if args.output is not None:
        stored.write(args.output, values)
    _show(values, args)
    return result.exit_code


def _run_many(args: argparse.Namespace, asked: Asked) -> int:
    if args.output is None:
        return _refuse("--submissions needs --output FILE, for one result a line")
    found = map(Path, glob.glob(args.submissions))  # noqa: PTH207 (those of Path take no absolute pattern)
    folders = sorted(folder for folder in found if folder.is_dir())
    if not folders:
        return _refuse(f"--submissions: found no folder that {args.submissions!r} matches; quote the pattern")
    from grader.cli.hiring import hire  # noqa: PLC0415
    from grader.experiment_profiler.grading import many  # noqa: PLC0415 (one submission needs no processes)

    try:
        counts = many.grade_many(folders, asked, output=args.output, jobs=args.jobs or 1, hire=hire(args.on))
    except KeyboardInterrupt:
        print(f"\nthe results in {args.output} stay, and the same command goes on", file=sys.stderr)
        raise
    told = {status.value: counts[status] for status in Status}
    print(json.dumps(told) if _wants_json(args) else ", ".join(f"{name} {count}" for name, count in told.items()))
    return next(status.exit_code for status in (Status.ERROR, Status.FAIL, Status.PASS) if counts[status])


def _refuse(message: str) -> int:
    print(f"grader grade: error: {message}", file=sys.stderr)
    return Status.ERROR.exit_code


def _show(values: Mapping[str, Any], args: argparse.Namespace) -> None:
    if _wants_json(args):
        sys.stdout.write(stored.pretty(dict(values)))
    else:
        grade_table.render(values, file=sys.stdout, verbose=args.verbose)


def _wants_json(args: argparse.Namespace) -> bool:
    return not sys.stdout.isatty() if args.json is None else bool(args.json)


def _tell(box: Box, outcome: Outcome) -> None:
    """Print what a process said, without anything that a terminal would act on."""
    ended = outcome.reason or (
        f"signal {outcome.signal}" if outcome.signal is not None else f"exit {outcome.exit_code}"
    )
    said = (outcome.stdout[-SAID_LIMIT:] + outcome.stderr[-SAID_LIMIT:]).decode("utf-8", "replace")
    clean = "".join(char if char == "\n" or unicodedata.category(char)[0] != "C" else "?" for char in said)
    print(f"--- {box.name}: {ended}\n{clean}".rstrip(), file=sys.stderr)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1 to 1000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected seconds from 0 to 3600")
    return seconds
