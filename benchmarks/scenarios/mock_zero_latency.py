"""The engine's own cost: a whole run at zero latency, against the least that a program could do.

The least is a loop written by hand: it reads each line, and writes two lines with the same fields and about as many
bytes as ours. It checks nothing, hashes nothing, makes up no answer, keeps no journal, counts nothing, and writes
through a buffer. Ours surveys the dataset, plans, calls, keeps, orders and reduces, with full logs and full metrics.
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh

if TYPE_CHECKING:
    from benchmarks.figure import Scale

HASH = "0123456789abcdef" * 4
BUFFER = 1 << 20


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(100_000, quick=1_000)
    dataset = workload.dialogues(scale, count)
    engine, loop = alternate(
        scale.runs,
        lambda: _rate(scale, workload.finished_run, dataset=dataset, count=count),
        lambda: _rate(scale, hand_written, dataset=dataset, count=count),
    )
    return [
        median("engine_by_loop", ratios(engine, loop), note=f"{count:,} dialogues"),
        median("engine", engine, unit="dialogues/s"),
        median("loop", loop, unit="dialogues/s"),
    ]


def _rate(scale: Scale, side: Any, *, dataset: Path, count: int) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds: float = fresh(side, dataset=dataset, output_dir=folder).value
    return count / seconds


def hand_written(*, dataset: str, output_dir: str) -> float:
    gc.collect()
    begun = time.perf_counter()
    folder = Path(output_dir)
    with (
        Path(dataset).open("rb", buffering=BUFFER) as lines,
        (folder / "requests.jsonl").open("wb", buffering=BUFFER) as requests,
        (folder / "responses.jsonl").open("wb", buffering=BUFFER) as responses,
    ):
        for index, line in enumerate(lines):
            row = orjson.loads(line)
            requests.write(orjson.dumps(_request(index, row), option=orjson.OPT_APPEND_NEWLINE))
            responses.write(orjson.dumps(_response(index, row), option=orjson.OPT_APPEND_NEWLINE))
    return time.perf_counter() - begun


def _request(index: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "dialogue_id": row["dialogue_id"],
        "index": index,
        "model": workload.MODEL,
        "temperature": None,
        "max_tokens": workload.MAX_TOKENS,
        "prompt": {"system": row["system"], "user": row["user"]},
        "request_hash": HASH,
        "required_facts": row["required_facts"],
    }


def _response(index: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "dialogue_id": row["dialogue_id"],
        "index": index,
        "completion": "Here is what I know: capital 12; river 34.",
        "type": "answer",
        "stop_reason": "end_turn",
        "model": workload.MODEL,
        "usage": {"input_tokens": 66, "output_tokens": 11},
        "latency_s": 0.0,
        "queue_s": 0.0,
        "attempts": 1,
        "request_id": None,
        "cost_usd": None,
        "error": None,
    }
