"""A run in the format of Every Eval Ever 0.3, a shared collection of evaluation results.

Its files stand where the collection keeps them, below `data/`: one with the results of all metrics, and beside it one with
a line for each answer and each metric that says whether an answer is right. What a run does not know is left out or called
unknown, never guessed: who ran it, where its dataset comes from.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from profiler.core.errors import StorageError, UsageError
from profiler.core.json import dump_line, dump_pretty, dumps
from profiler.provider.source import OWN_CLIENT
from profiler.results.comparing.metrics_compared import directions
from profiler.results.every_eval_samples import Right, samples
from profiler.storage.reading.frozen_run import frozen
from profiler.storage.whole_file import drafted, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from profiler.storage.reading.saved_run import SavedRun

VERSION: Final = "0.3.0"
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
SETTINGS: Final = ("temperature", "top_p", "top_k", "max_tokens")


def export_every_eval(
    run: SavedRun, folder: Path, *, texts: bool = True, search_path: Path | None = None
) -> tuple[Path, int]:
    """Write the files below a folder; returns the one with the results, and how many lines the other has.

    Without `texts` only the first is written.
    """
    run = frozen(run)
    if not run.complete:
        raise UsageError(
            f"{run.folder}: is unfinished, and the results of a part are not those of the evaluation",
            hint="let it run to its end: the same `profiler run` command goes on",
        )
    facts = _Facts(run, search_path)
    path, number, right = folder / facts.path, 0, Right(facts.better)
    lines = path.with_name(f"{path.stem}_samples.jsonl")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        checksum, number = _write_lines(
            lines, samples(run.items(search_path=search_path), right, told=facts.told), texts
        )
        told = _results(facts, right)
        if texts:
            told["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": str(facts.path.with_name(lines.name)),
                "hash_algorithm": "sha256",
                "checksum": checksum,
                "total_rows": number,
            }
        write_whole(path, dump_pretty(told))
    except OSError as error:
        raise StorageError(path, error, answers=False) from error
    return path, number if texts else 0


# --- what is known of the run ------------------------------------------------------------------------------------------


class Model(NamedTuple):
    """Who answered: developer and model are folders of the collection too."""

    developer: str
    model: str

    @property
    def id(self) -> str:
        return f"{self.developer}/{self.model}"


class _Facts:
    """What both files say of the run."""

    def __init__(self, run: SavedRun, search_path: Path | None) -> None:
        self.summary = run.summary
        self.run: dict[str, Any] = self.summary["run"]
        self.identity: dict[str, Any] = self.run.get("identity") or {}
        self.name = _safe(str(self.run.get("experiment_id") or run.folder.resolve().name))
        self.model = _model_of(self.run, self.identity)
        self.time = _seconds(self.run.get("finished")) or str(int(run.changed() or 0))
        self.better, _ = directions([self.run], search_path=search_path)
        self.evaluation_id = f"{self.name}/{self.model.id.replace('/', '_')}/{self.time}"
        named = dumps([self.evaluation_id, self.identity])  # the same run always gets the same name
        file = uuid.UUID(bytes=hashlib.sha256(named).digest()[:16], version=4)
        self.told = {
            "schema_version": VERSION,
            "evaluation_id": self.evaluation_id,
            "model_id": self.model.id,
            "evaluation_name": self.name,
        }
        self.path = PurePosixPath("data", self.name, self.model.developer, self.model.model, f"{file}.json")


def _model_of(run: Mapping[str, Any], identity: Mapping[str, Any]) -> Model:
    """Answers of the mock or of somebody's own client are not filed as those of the model that was asked for."""
    asked = _safe(str(identity.get("model") or "unknown"))
    if str(run.get("client")).startswith(OWN_CLIENT):
        return Model("own-client", asked)
    if run.get("mode") != "live":
        return Model("experiment-profiler", f"mock-of-{asked}")
    return Model("anthropic", asked)


def _safe(name: str) -> str:
    """A name that can be a folder anywhere; `data` is the collection's own."""
    safe = UNSAFE.sub("-", name).rstrip(".") or "unnamed"
    return f"{safe}-" if safe == "data" else safe


def _seconds(moment: str | None) -> str | None:
    return None if moment is None else str(int(datetime.fromisoformat(moment).timestamp()))


# --- the results of all metrics ----------------------------------------------------------------------------------------


def _results(facts: _Facts, right: Right) -> dict[str, Any]:
    run, identity = facts.run, facts.identity
    live = run.get("mode") == "live" and facts.model.developer == "anthropic"
    metrics: dict[str, Any] = facts.summary["metrics"]
    started = _seconds(run.get("started"))
    return {
        "schema_version": VERSION,
        "evaluation_id": facts.evaluation_id,
        **({} if started is None else {"evaluation_timestamp": started}),
        "retrieved_timestamp": facts.time,
        "source_metadata": {
            "source_name": "experiment-profiler",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": "experiment-profiler",
            "version": str((run.get("versions") or {}).get("profiler") or "unknown"),
        },
        "model_info": {
            "name": str(identity.get("model") or "unknown"),
            "id": facts.model.id,
            "developer": facts.model.developer,
            **({"inference_platform": str(identity["provider"])} if live and identity.get("provider") else {}),
            "additional_details": {
                "deployment_type": "externally_managed" if live else "unknown",
                "model_availability": "closed_weights" if live else "unknown",
                "answered_by": str(run.get("client") or run.get("mode") or "unknown"),
            },
        },
        "evaluation_results": [
            _result(name, found, facts, right) for name, found in metrics.items() if found.get("value") is not None
        ],
    }


def _result(name: str, found: Mapping[str, Any], facts: _Facts, right: Right) -> dict[str, Any]:
    low, high = (0.0, 1.0) if right.between_0_and_1(name) else ("-Infinity", "Infinity")
    interval, counts = found.get("ci95"), facts.summary["counts"]
    uncertainty: dict[str, Any] = {"num_samples": found["n"]}
    if interval is not None:
        bounds = {"lower": interval[0], "upper": interval[1], "confidence_level": 0.95}
        uncertainty["confidence_interval"] = bounds
    settings = {each: facts.identity[each] for each in SETTINGS if facts.identity.get(each) is not None}
    return {
        "evaluation_result_id": name,
        "evaluation_name": facts.name,
        "source_data": {
            "dataset_name": facts.name,
            "source_type": "other",
            "additional_details": {"sha256": str(facts.identity.get("dataset_sha256") or "unknown")},
        },
        "metric_config": {
            "metric_id": f"experiment-profiler.{name}",
            "metric_name": name,
            "lower_is_better": facts.better.get(name) == "lower",
            "score_type": "continuous",
            "min_score": low,
            "max_score": high,
            "additional_details": {"better": facts.better.get(name) or "neither"},
        },
        "score_details": {
            "score": found["value"],
            "details": {"dialogues": str(counts["total"]), "errors": str(counts["error"])},
            "uncertainty": uncertainty,
        },
        "generation_config": {"generation_args": settings},
    }


def _write_lines(path: Path, samples: Iterator[dict[str, Any]], wanted: bool) -> tuple[str, int]:
    """Write the lines, whole or not at all; their hash and number. All items are looked at, whether lines are wanted or
    not: what the metrics are like is known only then."""
    if not wanted:
        return "", sum(1 for _ in samples)
    digest, number = hashlib.sha256(), 0
    with drafted(path) as draft, draft.open("wb") as file:
        for sample in samples:
            number += 1
            line = dump_line(sample)
            digest.update(line)
            file.write(line)
    return digest.hexdigest(), number
