"""What is true of a run and of logs: the lines that a right submission leaves behind, and their metrics.

Metrics come from `profiler`'s own reduction, which real runs use; nothing is counted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import profiler
from profiler.manifest.settings import USUAL_METRICS
from profiler.metrics.builtin import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.experiment_profiler.worlds.dialogues import Dialogue
    from grader.experiment_profiler.worlds.foreign_logs import Logs
    from grader.experiment_profiler.worlds.replies import Replies
    from grader.experiment_profiler.worlds.world import World

METRICS: Final = USUAL_METRICS

Metrics = dict[str, float | None]
Line = dict[str, Any]


def requests(world: World) -> list[Line]:
    """The lines of requests.jsonl, with the fields that each must hold."""
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


def responses(world: World, replies: Replies) -> list[Line]:
    """The lines of responses.jsonl, with exactly the output_fields."""
    return [
        {key: fields[key] for key in world.manifest["output_fields"]}
        for fields in (_fields(world, replies, *numbered) for numbered in enumerate(world.dialogues))
    ]


def _fields(world: World, replies: Replies, index: int, dialogue: Dialogue) -> Line:
    """All fields of a line. A dialogue without an answer has a line too."""
    reply = replies[dialogue["dialogue_id"]]
    known = {"dialogue_id": dialogue["dialogue_id"], "index": index}
    if reply is None:
        nothing = dict.fromkeys(("completion", "stop_reason", "usage", "latency_s"))
        return {**known, **nothing, "type": "error", "model": world.manifest["model"]}
    return {**known, **{name: getattr(reply, name) for name in reply.__slots__}}


def metrics(world: World, replies: Replies, *, names: Sequence[str] | None = None) -> Metrics:
    """The metrics of a run; `names` None are those that the manifest asks for."""
    pairs = [(line, _fields(world, replies, index, line)) for index, line in enumerate(world.dialogues)]
    return _reduced(pairs, names or world.manifest["metrics"])


def metrics_of(logs: Logs) -> Metrics:
    """All four metrics of logs that no run has written."""
    return _reduced(list(zip(logs.requests, logs.responses, strict=True)), METRICS)


def coverage(dialogue: Dialogue, completion: str) -> float:
    """The coverage of a single answer; 1 where no facts are required."""
    if not dialogue["required_facts"]:
        return 1.0
    found = _reduced([(dialogue, {"type": "answer", "completion": completion})], ["fact_coverage"])["fact_coverage"]
    return found or 0.0


def _reduced(pairs: Sequence[tuple[Line, Line]], names: Sequence[str]) -> Metrics:
    reduction = profiler.reduce_outcomes((_outcome(*pair) for pair in pairs), resolve(names))
    return {name: estimate.value for name, estimate in reduction.estimates().items()}


def _outcome(request: Line, response: Line) -> profiler.Outcome:
    return profiler.Outcome(
        request["dialogue_id"],
        response["type"],
        response["completion"],
        required_facts=tuple(request["required_facts"]),
    )
