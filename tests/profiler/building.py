"""Builders that several tests use: dialogues, records, a full disk. It fakes none of our own code."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from profiler.core.json import encode
from profiler.core.nouns import Dialogue, Params, Record, RequestLine

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMS = Params(model="claude-haiku-4-5", max_tokens=64)


def dialogue(index: int = 0, **fields: Any) -> Dialogue:
    asked = {} if {"messages", "turns"} & fields.keys() else {"user": f"question {index}"}
    return Dialogue(**{"dialogue_id": f"d{index}", **asked, **fields})


def record(index: int, completion: str = "an answer", **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "dialogue_id": f"d{index}",
        "index": index,
        "completion": completion,
        "type": "answer",
        "stop_reason": "end_turn",
        "model": "claude-haiku-4-5",
        "usage": {"input_tokens": 3, "output_tokens": 4},
        "latency_s": 0.0,
        "queue_s": 0.0,
        "attempts": 1,
        "request_id": None,
        "cost_usd": None,
        "error": None,
    }
    return Record(**{**usual, **fields})


def request_line(index: int) -> RequestLine:
    return RequestLine(f"d{index}", index, "claude-haiku-4-5", None, 64, {"user": f"question {index}"}, f"hash {index}")


def line_of(written: Record | RequestLine) -> bytes:
    return encode(written) + b"\n"


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size`: a short write first, then an error, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
