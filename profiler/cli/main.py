"""The command line: the arguments of each command, and how a command ends (an exit code, or a message with a hint).

The code of a command is imported only when it is called, so that `--help` imports only the parser.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING

from profiler import __version__
from profiler.cli import compare_options, mock_server_options
from profiler.cli.parser import Parser, at_least_one, cluster, concurrency, listening, positive, shard, share, whole

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
    try:
        home = HOMES.get(args.command, "commands")
        code: int = import_module(f"profiler.cli.{home}").COMMANDS[args.command](args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        again = shlex.join(["profiler", *args.given])
        print(f"\nerror: interrupted; everything answered is kept\nhint: resume with: {again}", file=sys.stderr)
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

    For code of the user: their lines only. For the disk: what it refused. For a bug of ours: all that helps to mend it.
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
    traceback.print_exception(error)
    print(f"\nThis is a bug, not your doing. Everything answered is kept; to resume: {again}", file=sys.stderr)
    return BUG


class _Overview(argparse.RawDescriptionHelpFormatter):
    """Keeps the layout of the exit codes, and each command on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 15  # commands are indented twice, which argparse forgets to count


def _detail(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=30)


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
    for add in (
        *(
            _add_run,
            _add_merge,
            _add_broker,
            _add_summarize,
            _add_list,
            _add_show,
            _add_watch,
            _add_compare,
            _add_export,
            _add_report,
        ),
        *(_add_validate, _add_schema, _add_init, _add_mock_server, _add_doctor),
    ):
        add(commands)
    return parser


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]  # noqa: SLF001 (argparse has no public name for it)


def _command(commands: Commands, name: str, summary: str, detail: str = "") -> Parser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {detail}".strip(),
        formatter_class=_detail,
        allow_abbrev=False,
    )


def _add_run(commands: Commands) -> None:
    parser = _command(
        commands,
        "run",
        "run the experiments of a manifest",
        "A run that was stopped is resumed by the same command: only what has no answer yet is asked.",
    )
    _add_config(parser)
    parser.add_argument(
        "--output-dir", default="runs", metavar="DIR", help="where run directories are made (default: runs)"
    )
    _add_select(parser)
    _add_selection(parser)
    parser.add_argument(
        "--mode",
        choices=("auto", "mock", "live"),
        default="auto",
        help="auto is live if ANTHROPIC_API_KEY is set, else mock (default: auto)",
    )
    parser.add_argument(
        "--client",
        choices=("fast", "stream", "sdk", "sdk-stream"),
        help="what sends live calls: the profiler's own HTTP client (the default), the same with streams, which are timed, "
        "or the SDK, plain or with streams",
    )
    parser.add_argument(
        "--concurrency", type=concurrency, metavar="N", help="calls in flight at once, of all experiments together"
    )
    parser.add_argument(
        "--processes", type=at_least_one, metavar="N", help="share the run among so many processes of this machine"
    )
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="K/N",
        help="answer only share K, from 0, of N commands that write to one folder; profiler merge ends the run",
    )
    parser.add_argument(
        "--broker",
        metavar="tcp://HOST:PORT",
        help="with --shard: what limits and cap allow is lent by this profiler broker",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help="with --shard: the machines see no common folder, and put what they answer into this object store, "
        "such as s3://bucket/path (extra object-store)",
    )
    parser.add_argument(
        "--on",
        type=cluster,
        metavar="ray[:ADDRESS]",
        help="run the processes on a Ray cluster, whose nodes all see the dataset and the output directory",
    )
    parser.add_argument(
        "--max-cost",
        type=positive,
        metavar="USD",
        help="the most that all experiments together may cost, over all commands, worst cases in flight included",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be asked and what it would cost; sends, writes and spends nothing",
    )
    parser.add_argument(
        "--assume-latency",
        type=positive,
        metavar="SECONDS",
        help="with --dry-run: how long a call takes, to estimate the time of the run",
    )
    _add_ways(parser)
    _add_output(parser)


def _add_merge(commands: Commands) -> None:
    parser = _command(
        commands,
        "merge",
        "put a run together that was answered in shards",
        "It wants nothing but the folder or the store that all of them wrote to, and ends as the run itself would have ended.",
    )
    _add_config(parser)
    parser.add_argument(
        "--output-dir", default="runs", metavar="DIR", help="where the run directories are (default: runs)"
    )
    parser.add_argument("--store", metavar="URL", help="the object store that the shards were told")
    _add_select(parser)
    _add_fail_on_errors(parser)
    _add_output(parser)


def _add_broker(commands: Commands) -> None:
    parser = _command(
        commands,
        "broker",
        "share limits and the cap of one experiment out among commands with --shard and --broker",
        "It serves until it is stopped. What it has lent it keeps in the run's folder: one that is killed can be started again.",
    )
    _add_config(parser)
    parser.add_argument(
        "--output-dir", default="runs", metavar="DIR", help="where the run directories are (default: runs)"
    )
    _add_select(parser)
    parser.add_argument(
        "--workers",
        type=at_least_one,
        required=True,
        metavar="N",
        help="how many processes will ask at once, of all shards",
    )
    parser.add_argument(
        "--listen",
        type=listening,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="the address to listen on (default: a free port of 127.0.0.1); what is said there is not encrypted",
    )
    parser.add_argument(
        "--concurrency", type=concurrency, metavar="N", help="calls in flight at once, of all workers together"
    )
    parser.add_argument("--max-cost", type=positive, metavar="USD", help="the most that all of them together may cost")


def _add_selection(parser: Parser) -> None:
    """Which dialogues are asked."""
    parser.add_argument("--ids", metavar="A,B", help="only the dialogues with these ids")
    parser.add_argument("--ids-from", metavar="FILE", help="the same from a file, an id a line; - is stdin")
    parser.add_argument(
        "--tag", action="append", default=[], metavar="T", help="of these, only those with this tag; repeatable"
    )
    parser.add_argument(
        "--sample", type=at_least_one, metavar="N", help="of these, N by chance; a sample lies inside every larger one"
    )
    parser.add_argument("--seed", type=whole, metavar="S", help="with --sample: another one (default: 0)")
    parser.add_argument("--by", choices=("tag",), help="with --sample: every first tag gets its share")
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="of these, only the first N dialogues")


def _add_ways(parser: Parser) -> None:
    """How a run goes on from an earlier one, and what it may lose."""
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where an earlier run stopped (the default)")
    again.add_argument("--fresh", action="store_true", help="start over; an earlier run is moved aside, never deleted")
    parser.add_argument(
        "--reuse",
        nargs="+",
        action="extend",
        default=[],
        metavar="RUN",
        help="take over what earlier runs (run directories, or folders of them) were answered to the same requests, and "
        "pay only for the rest; with --fresh also the run that it moves aside",
    )
    parser.add_argument("--in-turn", action="store_true", help="run the experiments one after the other, not together")
    parser.add_argument("--retry-failed", action="store_true", help="ask the failed dialogues of an earlier run again")
    _add_fail_on_errors(parser)
    parser.add_argument(
        "--fsync",
        choices=("interval", "always", "off"),
        default="interval",
        help="what a power cut may lose: the last second, nothing, or what the system has not written yet (default: interval)",
    )


def _add_fail_on_errors(parser: Parser) -> None:
    parser.add_argument(
        "--fail-on-errors",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="exit code 1 when more than this share of the dialogues failed (default: 1.0, never)",
    )


def _add_summarize(commands: Commands) -> None:
    parser = _command(commands, "summarize", "show the metrics of finished runs")
    parser.add_argument(
        "--log-dir",
        action="append",
        required=True,
        metavar="DIR",
        help="a run directory, or a folder of them; may be given several times",
    )
    parser.add_argument(
        "--recompute", action="store_true", help="reduce the logs again instead of reading summary.json"
    )
    parser.add_argument(
        "--metric", action="append", metavar="NAME", help="with --recompute: this metric instead; repeatable"
    )
    parser.add_argument("--by-tag", action="store_true", help="a line for every tag too")
    _add_json(parser)


def _add_list(commands: Commands) -> None:
    parser = _command(commands, "list", "show which runs there are, in what state, and what they measured")
    parser.add_argument("folder", nargs="?", default="runs", metavar="DIR", help="where to look (default: runs)")
    parser.add_argument("--all", action="store_true", help="those that --fresh moved aside too")
    _add_json(parser)


def _add_show(commands: Commands) -> None:
    parser = _command(
        commands,
        "show",
        "show dialogues of a run: question, answer, scores, error, times, cost",
        "All that is asked for must hold.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("ids", nargs="*", metavar="ID", help="the dialogues with these ids")
    parser.add_argument("--errors", action="store_true", help="those that failed")
    parser.add_argument("--refusals", action="store_true", help="those that were refused")
    parser.add_argument("--truncated", action="store_true", help="those whose answer was cut off")
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="those with this tag; repeatable")
    parser.add_argument(
        "--where", metavar="CONDITION", help="those for which it holds: 'exact_match == false and latency_s > 5'"
    )
    parser.add_argument("--grep", metavar="TEXT", help="those that say it somewhere, in any letter case")
    parser.add_argument(
        "--worst", nargs=2, metavar=("NAME", "N"), help="the N worst by a score or a number such as latency_s"
    )
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="no more than N")
    parser.add_argument("--no-pager", action="store_true", help="print at once, on a terminal too")
    parser.add_argument("--json", action="store_true", help="one object a line, with all that is known")


def _add_watch(commands: Commands) -> None:
    parser = _command(
        commands,
        "watch",
        "follow a run of another terminal or machine until it ends",
        "It only reads. Ctrl-C ends the watching, not the run.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")


def _add_export(commands: Commands) -> None:
    parser = _command(
        commands,
        "export",
        "write a run as a table for other programs, a row an item",
        "Texts of questions and answers are inside unless --no-texts is given.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--to",
        choices=("csv", "jsonl", "parquet", "sqlite", "every-eval-ever"),
        metavar="FORMAT",
        help="csv, jsonl, parquet, sqlite (default: as the name of the file ends), or every-eval-ever, the format of a shared "
        "collection of results: FILE is then the folder in which its data/ is",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="the file to write; - is stdout, for csv and jsonl"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="csv as it is: else a quote stands before texts that a spreadsheet would run (those that begin with = + - @)",
    )
    parser.add_argument("--no-texts", action="store_true", help="leave out what was asked and answered")
    parser.add_argument("--drop", action="append", default=[], metavar="FIELD", help="leave out a column; repeatable")


def _add_report(commands: Commands) -> None:
    parser = _command(
        commands,
        "report",
        "write runs as one HTML file to look at and to send",
        "The file needs no network and no server. Of several runs over the same dialogues the answers stand side by side.",
    )
    parser.add_argument("run", nargs="+", metavar="RUN", help="a run directory, finished or not")
    parser.add_argument(
        "-o", "--output", default="report.html", metavar="FILE", help="where to write it (default: report.html)"
    )
    parser.add_argument(
        "--no-texts", action="store_true", help="leave out questions, answers, facts and metadata, for other eyes"
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="FIELD",
        help="leave out a field of the run's files, such as tags, prompt.system or metadata.customer; repeatable",
    )
    parser.add_argument(
        "--margin",
        type=compare_options.margin,
        action="append",
        default=[],
        metavar="METRIC=X",
        help="of several runs: call a difference within ± X equivalent, as compare does; repeatable",
    )
    parser.add_argument(
        "--allow-different-prompts", action="store_true", help="of several runs: compare by id alone, as compare does"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")


def _add_validate(commands: Commands) -> None:
    parser = _command(commands, "validate", "check a manifest and its datasets, and report all mistakes")
    _add_config(parser)
    _add_select(parser)
    parser.add_argument(
        "--show",
        type=at_least_one,
        default=0,
        metavar="N",
        help="print the first N dialogues too, as they will be asked",
    )
    _add_json(parser)


def _add_schema(commands: Commands) -> None:
    _command(commands, "schema", "print the JSON Schema of manifests, for editors")


def _add_init(commands: Commands) -> None:
    parser = _command(commands, "init", "write a sample manifest with its data, ready to run")
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where to (default: here)")


def _add_compare(commands: Commands) -> None:
    compare_options.add_to(
        _command(
            commands,
            "compare",
            "say which of two or more runs is better, by how much, and whether that is more than chance",
            "Answers to the same dialogue are paired; each NEW is compared with BASE.",
        )
    )


def _add_mock_server(commands: Commands) -> None:
    mock_server_options.add_to(
        _command(
            commands,
            "mock-server",
            "answer like the provider, on this machine, without a key",
            "Prints the address it listens on; counters are at /__stats. The same requests always get the same answers.",
        )
    )


def _add_doctor(commands: Commands) -> None:
    parser = _command(commands, "doctor", "check this machine: versions, mode, key, terminal, disk")
    parser.add_argument("--output-dir", default="runs", metavar="DIR", help="the folder to check (default: runs)")
    _add_json(parser)


def _add_config(parser: Parser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="the manifest (YAML)")


def _add_select(parser: Parser) -> None:
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="GLOB",
        help="only experiments whose id matches, as in '*haiku*'; repeatable",
    )


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text")


def _add_output(parser: Parser) -> None:
    _add_json(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no remarks; errors still show")
