"""Runs an experiment from the first dialogue to the summary, and computes the metrics of a run again from its logs.

Both ways add up in a `Tally`, so a run and the metrics computed from its logs cannot disagree.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.anthropic_client import ClientError
from tools.dataset import read_samples
from tools.logging_utils import LogError
from tools.metrics import Tally

from .storage import Artifacts, open_logs, read_pairs, write_summary

if TYPE_CHECKING:
    from tools.anthropic_client import Client
    from tools.dataset import Sample

    from .config import ExperimentConfig
    from .simulation import ClientFactory

Metrics = dict[str, float | None]

log = logging.getLogger(__name__)


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
        """Ask every dialogue in the order of the dataset, and write each answer as soon as it is there."""
        config = self._config
        samples = read_samples(config.dataset_path)
        client = self._factory.build_live_or_simulated(
            model=config.model, max_tokens=config.max_tokens, temperature=config.temperature
        )
        artifacts = Artifacts.inside(Path(output_dir) / config.experiment_id)
        tally = Tally()
        with open_logs(artifacts) as logs:
            for index, sample in enumerate(samples):
                logs.requests.write(self._request(index, sample))
                response = self._ask(client, index, sample)
                logs.responses.write({field: response[field] for field in config.output_fields})
                _count(tally, response, sample.required_facts)
        metrics = tally.metrics(config.metrics)
        write_summary(artifacts, experiment_id=config.experiment_id, dialogues=tally.dialogues, metrics=metrics)
        return RunResult(artifacts=artifacts, metrics=metrics)

    def summarize(self, log_dir: str | Path) -> Metrics:
        """Return the metrics of the run whose logs are in that folder."""
        return _tally_of(Artifacts.inside(Path(log_dir))).metrics()

    def _request(self, index: int, sample: Sample) -> dict[str, Any]:
        config = self._config
        return {
            "log_schema_version": config.log_schema_version,
            "dialogue_id": sample.dialogue_id,
            "index": index,
            "model": config.model,
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "prompt": {"system": sample.system, "user": sample.user},
            "required_facts": sample.required_facts,
        }

    def _ask(self, client: Client, index: int, sample: Sample) -> dict[str, Any]:
        """Return what responses.jsonl may hold about one dialogue.

        A failed call becomes a record too, and the run goes on.
        """
        known = {"dialogue_id": sample.dialogue_id, "index": index}
        try:
            answer = client.complete(sample)
        except ClientError as error:
            log.warning("no answer: %s", error)
            nothing = dict.fromkeys(("completion", "stop_reason", "usage", "latency_s"))
            return {**nothing, **known, "type": "error", "model": self._config.model}
        return {**answer.metadata, **known, "completion": answer.completion}


def summarize_logs(log_dir: Path) -> Metrics:
    """Write summary.json again from the logs in a folder, which is named after its experiment."""
    artifacts = Artifacts.inside(log_dir)
    tally = _tally_of(artifacts)
    metrics = tally.metrics()
    write_summary(artifacts, experiment_id=log_dir.resolve().name, dialogues=tally.dialogues, metrics=metrics)
    return metrics


def _tally_of(artifacts: Artifacts) -> Tally:
    tally = Tally()
    for number, (request, response) in enumerate(read_pairs(artifacts), start=1):
        try:
            _count(tally, response, request["required_facts"])
        except (KeyError, TypeError, ValueError) as error:
            raise LogError(f"{artifacts.responses_path}:{number}: found no record of a response: {error}") from error
    return tally


def _count(tally: Tally, response: dict[str, Any], required_facts: Any) -> None:
    tally.add(type=response["type"], completion=response["completion"], required_facts=required_facts)
