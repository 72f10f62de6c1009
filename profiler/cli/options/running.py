"""The options of `run`, and of `merge` and `broker`, which belong to a run in shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.cli.options.common import add_config, add_fail_on_errors, add_output, add_output_dir, add_select, command
from profiler.cli.options.values import at_least_one, cluster, concurrency, listening, positive, shard, whole

if TYPE_CHECKING:
    from profiler.cli.options.common import Commands
    from profiler.cli.parser import Parser


def add_run(commands: Commands) -> None:
    parser = command(
        commands,
        "run",
        "run the experiments of a manifest",
        "A run that was stopped is resumed by the same command: only what has no answer yet is asked.",
    )
    add_config(parser)
    add_output_dir(parser, "where run directories are made")
    add_select(parser)
    _add_selection(parser)
    _add_provider(parser)
    _add_processes(parser)
    _add_cost(parser)
    _add_ways(parser)
    add_output(parser)


def _add_selection(parser: Parser) -> None:
    """Which dialogues are asked."""
    parser.add_argument("--ids", metavar="A,B", help="only the dialogues with these ids")
    parser.add_argument("--ids-from", metavar="FILE", help="only the ids in this file, one a line; - is stdin")
    parser.add_argument(
        "--tag", action="append", default=[], metavar="T", help="of these, only those with this tag; repeatable"
    )
    parser.add_argument(
        "--sample",
        type=at_least_one,
        metavar="N",
        help="of these, N drawn at random; a larger sample holds every smaller one",
    )
    parser.add_argument("--seed", type=whole, metavar="S", help="with --sample: which sample is drawn (default: 0)")
    parser.add_argument("--by", choices=("tag",), help="with --sample: draw from every first tag in proportion")
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="of these, only the first N dialogues")


def _add_provider(parser: Parser) -> None:
    """Who is asked, and how much at once."""
    parser.add_argument(
        "--mode",
        choices=("auto", "mock", "live"),
        default="auto",
        help="auto is what PROFILER_MODE says, else live if ANTHROPIC_API_KEY is set, else mock (default: auto)",
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


def _add_processes(parser: Parser) -> None:
    """Which processes and machines ask."""
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
        help="with --shard: the address of the profiler broker that shares out limits and the cap",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help="with --shard: the machines see no common folder, and put what they answer into this object store, "
        "such as s3://bucket/path (needs the extra object-store)",
    )
    parser.add_argument(
        "--on",
        type=cluster,
        metavar="ray[:ADDRESS]",
        help="run the processes on a Ray cluster, whose nodes all see the dataset and the output directory",
    )


def _add_cost(parser: Parser) -> None:
    """What the run may cost, and what it would."""
    parser.add_argument(
        "--max-cost",
        type=positive,
        metavar="USD",
        help="the most that all experiments together may cost, over all commands; calls in flight count at their worst case",
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
    add_fail_on_errors(parser)
    parser.add_argument(
        "--fsync",
        choices=("interval", "always", "off"),
        default="interval",
        help="what a power cut may lose: the last second, nothing, or what the system has not written yet (default: interval)",
    )


def add_merge(commands: Commands) -> None:
    parser = command(
        commands,
        "merge",
        "put a run together that was answered in shards",
        "It needs only the folder or the store that all shards wrote to, and ends as the run itself would have ended.",
    )
    add_config(parser)
    add_output_dir(parser, "where the run directories are")
    parser.add_argument("--store", metavar="URL", help="the object store that the shards were told")
    add_select(parser)
    add_fail_on_errors(parser)
    add_output(parser)


def add_broker(commands: Commands) -> None:
    parser = command(
        commands,
        "broker",
        "share limits and the cap of one experiment out among commands with --shard and --broker",
        "It serves until it is stopped. It notes what it has lent in the run's folder, so it can be started again after a kill.",
    )
    add_config(parser)
    add_output_dir(parser, "where the run directories are")
    add_select(parser)
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


ALL = (add_run, add_merge, add_broker)
