"""The options of the commands that show runs: `summarize`, `list`, `show`, `watch`, `compare`, `export` and `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.cli.options import compare
from profiler.cli.options.common import add_json, command
from profiler.cli.options.values import at_least_one

if TYPE_CHECKING:
    from profiler.cli.options.common import Commands


def add_summarize(commands: Commands) -> None:
    parser = command(commands, "summarize", "show the metrics of finished runs")
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
    parser.add_argument("--by-tag", action="store_true", help="also a line for every tag")
    add_json(parser)


def add_list(commands: Commands) -> None:
    parser = command(commands, "list", "show which runs there are, in what state, and what they measured")
    parser.add_argument("folder", nargs="?", default="runs", metavar="DIR", help="where to look (default: runs)")
    parser.add_argument("--all", action="store_true", help="also those that --fresh moved aside")
    add_json(parser)


def add_show(commands: Commands) -> None:
    parser = command(
        commands,
        "show",
        "show dialogues of a run: question, answer, scores, error, times, cost",
        "Of several conditions all must hold.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("ids", nargs="*", metavar="ID", help="the dialogues with these ids")
    parser.add_argument("--errors", action="store_true", help="those that failed")
    parser.add_argument("--refusals", action="store_true", help="those that were refused")
    parser.add_argument("--truncated", action="store_true", help="those whose answer was cut off")
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="those with this tag; repeatable")
    parser.add_argument(
        "--where", metavar="CONDITION", help="those for which this holds: 'exact_match == false and latency_s > 5'"
    )
    parser.add_argument("--grep", metavar="TEXT", help="those with this text anywhere, in any letter case")
    parser.add_argument(
        "--worst", nargs=2, metavar=("NAME", "N"), help="the N worst by a score or a number such as latency_s"
    )
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="no more than N")
    parser.add_argument("--no-pager", action="store_true", help="print at once, on a terminal too")
    parser.add_argument("--json", action="store_true", help="one object a line, with all that is known")


def add_watch(commands: Commands) -> None:
    parser = command(
        commands,
        "watch",
        "follow a run of another terminal or machine until it ends",
        "It only reads. Ctrl-C ends the watching, not the run.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")


def add_compare(commands: Commands) -> None:
    compare.add_to(
        command(
            commands,
            "compare",
            "say which of two or more runs is better, by how much, and whether that is more than chance",
            "Answers to the same dialogue are paired; each NEW is compared with BASE.",
        )
    )


def add_export(commands: Commands) -> None:
    parser = command(
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
        help="leave texts of a csv as they are: else a quote is put before those that a spreadsheet would run (with = + - @ in front)",
    )
    parser.add_argument("--no-texts", action="store_true", help="leave out what was asked and answered")
    parser.add_argument("--drop", action="append", default=[], metavar="FIELD", help="leave out a column; repeatable")


def add_report(commands: Commands) -> None:
    parser = command(
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
        "--no-texts",
        action="store_true",
        help="leave out questions, answers, facts and metadata, for readers who may not see them",
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
        type=compare.margin,
        action="append",
        default=[],
        metavar="METRIC=X",
        help="of several runs: call a difference within ± X equivalent, as compare does; repeatable",
    )
    parser.add_argument(
        "--allow-different-prompts", action="store_true", help="of several runs: compare by id alone, as compare does"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")


ALL = (add_summarize, add_list, add_show, add_watch, add_compare, add_export, add_report)
