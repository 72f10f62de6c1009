"""What is true of a world: the records a right submission leaves behind, and the metrics of them.

Metrics come from `profiler`'s own reduction, the one that real runs use; nothing is counted here. Comes in: worlds and
logs as values. Goes out: expected lines and numbers. Knows nothing of submissions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import profiler
from profiler.manifest.settings import USUAL_METRICS
from profiler.metrics.builtin import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grader.experiment_profiler.worlds.foreign_logs import Logs
    from grader.experiment_profiler.worlds.world import Dialogue, World

ANY_LATENCY = object()  # how long a simulated answer took is not decided by the world


def requests(world: World) -> list[dict[str, Any]]:
    """Every line of requests.jsonl, with the fields that it must hold."""
    shared = {key: world.manifest[key] for key in ("log_schema_version", "model", "max_tokens")}
    shared["temperature"] = float(world.manifest["temperature"])
    return [
        {
            "dialogue_id": dialogue["dialogue_id"],
            "index": index,
            **shared,
            "prompt": {"system": dialogue["system"], "user": dialogue["user"]},
            "required_facts": dialogue["required_facts"],
        }
        for index, dialogue in enumerate(world.dialogues)
    ]


def responses(world: World) -> list[dict[str, Any]]:
    """Every line of responses.jsonl, with just the output_fields."""
    return [
        {key: _fields(world, index, dialogue)[key] for key in world.manifest["output_fields"]}
        for index, dialogue in enumerate(world.dialogues)
    ]


def _fields(world: World, index: int, dialogue: Dialogue) -> dict[str, Any]:
    answer = world.answers[dialogue["dialogue_id"]]
    return {
        "dialogue_id": dialogue["dialogue_id"],
        "index": index,
        "completion": answer["completion"],
        "type": answer["metadata"]["type"],
        "stop_reason": answer["stop_reason"],
        "usage": answer["usage"],
        "latency_s": ANY_LATENCY,
        "model": world.manifest["model"],
    }


def metrics(world: World) -> dict[str, float]:
    """Those the manifest asks for."""
    lines = ((line, _fields(world, index, line)) for index, line in enumerate(world.dialogues))
    return _reduced(lines, world.manifest["metrics"])


def metrics_of(logs: Logs) -> dict[str, float]:
    """All four, of logs that no run has written."""
    return _reduced(zip(logs.requests, logs.responses, strict=True), USUAL_METRICS)


def coverage(dialogue: Dialogue, completion: str) -> float:
    """Of one answer alone; one of which nothing is required has all of it."""
    if not dialogue["required_facts"]:
        return 1.0
    pair = (dialogue, {"type": "answer", "completion": completion})
    return _reduced([pair], ["fact_coverage"])["fact_coverage"]


def _reduced(pairs: Iterable[tuple[dict[str, Any], dict[str, Any]]], names: Sequence[str]) -> dict[str, float]:
    reduction = profiler.reduce_outcomes((_outcome(*pair) for pair in pairs), resolve(names))
    return {name: _known(name, estimate.value) for name, estimate in reduction.estimates().items()}


def _outcome(request: dict[str, Any], response: dict[str, Any]) -> profiler.Outcome:
    return profiler.Outcome(
        request["dialogue_id"],
        response["type"],
        response["completion"],
        required_facts=tuple(request["required_facts"]),
    )


def _known(name: str, value: float | None) -> float:
    """Every world answers something, so every metric has a value."""
    if value is None:
        raise ValueError(f"metric {name!r} has no value, expected one in every world")
    return value
