"""The command line: `run` an experiment, `summarize` a run. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.anthropic_client import ClientError
from tools.dataset import DatasetError
from tools.logging_utils import LogError

from .config import ConfigError, ExperimentConfig
from .runner import ExperimentRunner, summarize_logs
from .simulation import ClientFactory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OK, FAILED = 0, 2
EXPECTED = (ClientError, ConfigError, DatasetError, LogError, OSError)


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        return run(args) if args.command == "run" else summarize(args)
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
    config = ExperimentConfig.from_yaml(args.config)
    runner = ExperimentRunner(config=config, factory=ClientFactory(config.responses_path))
    result = runner.run(args.output_dir)
    print(f"Completed experiment {config.experiment_id}")
    print(f"Metrics written to {result.artifacts.summary_path}")
    return OK


def summarize(args: argparse.Namespace) -> int:
    print(_table(summarize_logs(args.log_dir)))
    return OK


def _table(metrics: Mapping[str, float | None]) -> str:
    width = max(map(len, metrics))
    cells = {name: "-" if value is None else f"{value:.4f}" for name, value in metrics.items()}
    return "\n".join([f"{'metric':<{width}}   value", *(f"{name:<{width}}  {cell:>6}" for name, cell in cells.items())])


if __name__ == "__main__":
    sys.exit(main())
