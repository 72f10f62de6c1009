"""The command line: `run` an experiment, `summarize` a run. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.anthropic_client import ClientError
from tools.dataset import DatasetError
from tools.logging_utils import LogError

from .config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, UNFINISHED, FAILED = 0, 1, 2
EXPECTED = (ClientError, ConfigError, DatasetError, LogError, OSError)


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        return run(args) if args.command == "run" else summarize(args)
    except NotImplementedError as left:
        print(f"not finished yet: {left}; search for TODO in cli.py, runner.py and simulation.py", file=sys.stderr)
        return UNFINISHED
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="experiment_profiler", description="Run an experiment and measure it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running = commands.add_parser("run", help="ask every dialogue and measure the answers")
    running.add_argument("--config", type=Path, required=True, metavar="FILE", help="the manifest (YAML)")
    running.add_argument(
        "--output-dir", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (default: runs)"
    )
    summarizing = commands.add_parser("summarize", help="measure a run again from its logs")
    summarizing.add_argument("--log-dir", type=Path, required=True, metavar="DIR", help="the folder of the run")
    return parser


def run(args: argparse.Namespace) -> int:
    # TODO: load the config, run the experiment below args.output_dir, say where its metrics are, return OK.
    raise NotImplementedError("cli.py, run: load the config, run the experiment and say where its metrics are")


def summarize(args: argparse.Namespace) -> int:
    # TODO: measure the logs in args.log_dir, write its summary.json anew, print the metrics as a table, return OK.
    raise NotImplementedError("cli.py, summarize: measure the logs, write summary.json anew and print a table")


if __name__ == "__main__":
    sys.exit(main())
