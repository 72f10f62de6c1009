"""The command line of the grader: finds the module of a command, lets it add its options, and runs it.

A module is imported only when its command is used, so that `--help` imports only the parser. To add a command, write a
function that takes the subparsers and adds a parser to them, with `set_defaults(run=…)` for the function that gets the
parsed arguments and returns the exit code. Then name it in COMMANDS.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

from profiler import __version__
from profiler.cli.parser import Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Commands = argparse._SubParsersAction[Parser]  # noqa: SLF001 (argparse has no public name for it)

COMMANDS: Final = {  # name: (module:function that adds it, what it does)
    "grade": ("grader.cli.grade:add", "grade one submission, or many"),
    "run": ("grader.cli.run:add_run", "play and grade episodes of an agent task"),
    "show-episode": ("grader.cli.run:add_show_episode", "show one episode step by step"),
    "calibrate": ("grader.cli.calibrate:add", "find how hard a task is, and how sure that is"),
    "regrade": ("grader.cli.regrade:add", "grade a stored result again and compare"),
    "audit": ("grader.cli.audit:add", "test the grader on submissions whose verdict is known"),
}
DEFAULT: Final = "grade"
EPILOG: Final = """\
Without a command, options are those of grade: `python -m grader --use-reference`.

exit codes:
  0  pass                               2    error: usage, the machine or the grader
  1  fail                               130, 143  stopped by a signal"""

ERROR, BROKEN_PIPE, SIGNALLED = 2, 141, 128


class Stopped(KeyboardInterrupt):
    """Stopped by a signal other than that of Ctrl-C. Like KeyboardInterrupt, so that everything is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop(number: int, _: object) -> NoReturn:
    raise Stopped(number)


def main(argv: Sequence[str]) -> int:
    """Run one command line. A bug in the grader exits as an error, never as a fail."""
    words = with_command(argv)
    args = build_parser(words[0]).parse_args(words)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt as stopped:
        print("\nerror: interrupted", file=sys.stderr)
        return SIGNALLED + getattr(stopped, "number", signal.SIGINT)
    except Exception:  # noqa: BLE001 (the last line of defence: whatever breaks here is not the submission's doing)
        traceback.print_exc()
        print("\nThis is a bug of the grader and says nothing of the submission.", file=sys.stderr)
        return ERROR
    return code


def with_command(argv: Sequence[str]) -> list[str]:
    """The words with the default command where they name none."""
    if not argv or (argv[0].startswith("-") and argv[0] not in {"-h", "--help", "--version"}):
        return [DEFAULT, *argv]
    return list(argv)


def build_parser(command: str) -> Parser:
    """The parser of one command. If there is no such command, a parser that knows only the names of all."""
    parser = Parser(
        prog="grader",
        description="Grade submissions without trusting them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"experiment-profiler {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    if command in COMMANDS:
        _adder(command)(commands)
        return parser
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def _adder(command: str) -> Callable[[Commands], None]:
    module, _, name = COMMANDS[command][0].partition(":")
    adder: Callable[[Commands], None] = getattr(import_module(module), name)
    return adder
