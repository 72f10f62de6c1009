"""Run folders for these tests, written as the engine writes them but without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.json import dump_line
from profiler.metrics import summary
from profiler.metrics.builtin import resolve
from profiler.storage import summary_file
from profiler.storage.reading.saved_run import reduce_and_score

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

METRICS = ["fact_coverage", "refusal_rate", "completion_rate", "exact_match"]

Lines = tuple[dict[str, Any], dict[str, Any]]


def item(index: int, answer: str | None = "an answer", **fields: Any) -> Lines:
    """The two lines of one item; `asked_…` goes into what was asked, the rest into what came back."""
    asked = {name.removeprefix("asked_"): value for name, value in fields.items() if name.startswith("asked_")}
    got = {name: value for name, value in fields.items() if not name.startswith("asked_")}
    name = fields.get("dialogue_id", f"d{index}")
    request = {
        "dialogue_id": name,
        "index": index,
        "model": "claude-haiku-4-5",
        "temperature": None,
        "max_tokens": 64,
        "prompt": {"user": f"question {index}"},
        "request_hash": "0" * 64,
        **asked,
    }
    response = {
        "dialogue_id": name,
        "index": index,
        "completion": answer,
        "type": "answer" if answer is not None else "error",
        "stop_reason": "end_turn" if answer is not None else None,
        "usage": {"input_tokens": 10, "output_tokens": 5 + index % 90},
        "latency_s": 0.2 + (index * 7 % 50) / 10,
        "attempts": 1,
        "cost_usd": 0.0001 * (1 + index % 40),
        "error": None,
        **got,
    }
    return request, response


def failure(index: int, message: str, *, kind: str = "overloaded_error", status: int = 529, **fields: Any) -> Lines:
    error = {"type": kind, "message": message, "status": status, "request_id": None}
    return item(index, None, error=error, usage=None, cost_usd=None, **fields)


def make_run(folder: Path, lines: Iterable[Lines], **facts: Any) -> Path:
    folder.mkdir(parents=True)
    total = 0
    with (folder / "requests.jsonl").open("wb") as requests, (folder / "responses.jsonl").open("wb") as responses:
        for request, response in lines:
            requests.write(dump_line(request))
            responses.write(dump_line(response))
            total += 1
    known = {
        "experiment_id": folder.name,
        "mode": "mock",
        "client": "the deterministic mock",
        "dialogues": total,
        "metrics": METRICS,
        "versions": {"profiler": "0.1.0", "python": "3.11.7"},
        "identity": {"model": "claude-haiku-4-5", "max_tokens": 64},
        **facts,
    }
    reduction = reduce_and_score(folder, resolve(known["metrics"]), tell=print)
    summary_file.write(folder / "summary.json", summary.build(reduction, known))
    return folder
