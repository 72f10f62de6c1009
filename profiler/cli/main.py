"""The command line: finds the module of a command, and decides how it ends (an exit code, or a message with a hint).

The code of a command is imported only when it is called, so that `--help` imports only the parser. A new command is a
function in the `COMMANDS` of a module of `profiler/cli/`, that module's name in `HOMES` below, and its options in the `ALL`
of a module of `profiler/cli/options/`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from profiler import __version__
from profiler.cli.options import preparing, results, running
from profiler.cli.parser import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.errors import ProfilerError

EXIT_CODES = """\
exit codes:
  0  done                               3    the provider failed (resumable)
  1  a threshold was missed, or more    4    stopped at a budget (resumable)
     failed than --fail-on-errors       5    undecided (compare --strict)
  2  usage, manifest, dataset or disk   70   a bug in the profiler, or in a metric
                                             of your own
  130, 143  stopped by a signal; everything answered is kept, and the command to resume is printed"""

RESUMABLE = ("run", "merge")
DISK, BUG, INTERRUPTED, BROKEN_PIPE = 2, 70, 130, 141
HOMES = {
    "run": "run",
    "mock-server": "mock_server",
    "list": "look",
    "show": "look",
    "watch": "watch",
    "compare": "compare",
    "export": "export",
    "report": "report",
    "merge": "merge",
    "broker": "broker",
}  # the modules of these commands; the others are in `commands`


def main(argv: Sequence[str]) -> int:
    """Run one command line. Every expected failure is a message and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    args = build_parser().parse_args(argv)
    args.given = [word for word in argv if word != "--fresh"]  # the command to resume with must not start over again
    command = None
    try:
        home = HOMES.get(args.command, "commands")
        command = import_module(f"profiler.cli.{home}").COMMANDS[args.command]
        code: int = command(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        if command is None:  # it was still being imported: there is nothing to keep or to resume
            raise
        again = shlex.join(["profiler", *args.given])
        kept = f"; everything answered is kept\nhint: resume with: {again}" if args.command in RESUMABLE else ""
        print(f"\nerror: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last line of defence: a bug is a crash that says what to do)
        from profiler.core.errors import ProfilerError  # noqa: PLC0415 (--help does not need it)

        if isinstance(error, ProfilerError):
            return print_failure(error)
        return _print_crash(error, again=shlex.join(["profiler", *args.given]))
    return code


def print_failure(error: ProfilerError) -> int:
    """Print an expected failure with its hint, and return its exit code."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _print_crash(error: Exception, *, again: str) -> int:
    """Print an unexpected failure.

    An error in code of the user shows their lines only, an error of the disk what it refused, and a bug of ours the whole
    traceback.
    """
    from profiler.core.own_code import said, their_traceback  # noqa: PLC0415 (--help does not need it)

    if lines := their_traceback(error):
        print(f"error: code of yours failed: {said(error)}\n{lines}", file=sys.stderr)
        print(f"Everything answered is kept; to resume: {again}", file=sys.stderr)
        return BUG
    if isinstance(error, OSError) and error.filename is not None:
        print(f"error: {os.fsdecode(error.filename)}: {error.strerror or error}", file=sys.stderr)
        print(f"hint: everything answered so far is kept; to resume: {again}", file=sys.stderr)
        return DISK
    # the group contains this very error, which would be printed twice
    if isinstance(error.__cause__, BaseExceptionGroup):
        error.__cause__ = None
    import traceback  # noqa: PLC0415 (--help does not need it)

    traceback.print_exception(error)
    print(f"\nThis is a bug, not your doing. Everything answered is kept; to resume: {again}", file=sys.stderr)
    return BUG


class _Overview(argparse.RawDescriptionHelpFormatter):
    """A help formatter that keeps the layout of the exit codes, and each command on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 15  # commands are indented twice, which argparse forgets to count


def build_parser() -> Parser:
    parser = Parser(
        prog="profiler",
        description="Send the dialogues of a dataset to Claude or a mock, as a YAML manifest says, and compute metrics of the answers.",
        epilog=EXIT_CODES,
        formatter_class=_Overview,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"experiment-profiler {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for add in (*running.ALL, *results.ALL, *preparing.ALL):  # in the order in which --help lists them
        add(commands)
    return parser
