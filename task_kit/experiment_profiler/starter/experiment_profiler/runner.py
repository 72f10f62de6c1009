"""Runs an experiment from the first dialogue to the summary, and computes the metrics of a run again from its logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .config import ExperimentConfig
    from .simulation import ClientFactory
    from .storage import Artifacts

Metrics = dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Where the files of a finished run are, and its metrics."""

    artifacts: Artifacts
    metrics: Metrics


class ExperimentRunner:
    """Runs one experiment with the client that the factory builds."""

    def __init__(self, *, config: ExperimentConfig, factory: ClientFactory) -> None:
        self._config = config
        self._factory = factory

    def run(self, output_dir: str | Path) -> RunResult:
        # TODO: ask every dialogue of the dataset, in its order. For each, write what is asked to requests.jsonl and
        # the config's output_fields to responses.jsonl; at the end write summary.json. A call that raises ClientError
        # is a record of the type "error" without a completion.
        raise NotImplementedError("runner.py, ExperimentRunner.run: ask every dialogue, keep both logs and a summary")

    def summarize(self, log_dir: str | Path) -> Metrics:
        # TODO: count both logs of that folder in a Tally and return its metrics. The command line needs the same,
        # without a config, and writes what it found to summary.json.
        raise NotImplementedError("runner.py, ExperimentRunner.summarize: measure the logs that are in a folder")
