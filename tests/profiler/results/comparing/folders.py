"""Complete run folders written by hand: what `compare` reads, without a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from profiler.storage.names import REQUESTS, RESPONSES, SCORES, SUMMARY
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def item(number: int, *, scores: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """One dialogue with its answer. Of `fields` some are asked and the others came back."""
    return {"dialogue_id": f"d{number}", "scores": dict(scores or {}), **fields}


ASKED = ("prompt", "required_facts", "expect_refusal", "expected", "tags", "metadata")


def write_run(folder: Path, items: Iterable[Mapping[str, Any]], *, scores: bool = True, **facts: Any) -> SavedRun:
    folder.mkdir(parents=True)
    files: dict[str, list[bytes]] = {REQUESTS: [], RESPONSES: [], SCORES: []}
    for index, each in enumerate(items):
        known = {"dialogue_id": each["dialogue_id"], "index": index}
        asked = {name: each[name] for name in ASKED if name in each}
        prompt = {"system": None, "user": f"question {each['dialogue_id']}"}
        answered = {name: value for name, value in each.items() if name not in (*ASKED, "scores")}
        lines = {
            REQUESTS: {**known, "prompt": prompt, "request_hash": "0", **asked},
            RESPONSES: {**known, "completion": "an answer", "type": "answer", **answered},
            SCORES: {**known, "scores": each["scores"]},
        }
        for name, line in lines.items():
            files[name].append(orjson.dumps(line) + b"\n")
    for name, written in files.items():
        if scores or name != SCORES:
            (folder / name).write_bytes(b"".join(written))
    told = {"mode": "mock", "metrics": [], "identity": {"model": "m"}, **facts}
    (folder / SUMMARY).write_bytes(orjson.dumps({"metrics": {}, "counts": {}, "run": told}))
    return SavedRun(folder)
