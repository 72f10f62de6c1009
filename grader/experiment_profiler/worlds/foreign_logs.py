"""Logs that the grader wrote itself, of no run at all: what `summarize` is asked about.

Comes in: a seed and a number. Goes out: a folder's files, with failed and truncated dialogues in them, which no
simulated run has, and beside them a summary.json that is wrong. Knows nothing of submissions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.worlds import prose
from grader.experiment_profiler.worlds.world import FIELDS_ALWAYS, FIELDS_PERHAPS, generator

if TYPE_CHECKING:
    from random import Random

SIZES: Final = (9, 24)
TYPES: Final = ("answer", "refusal", "truncated", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Requests and responses in step, under the name of the folder that holds them."""

    folder: str
    requests: tuple[dict[str, Any], ...]
    responses: tuple[dict[str, Any], ...]
    ascii_only: bool

    def files(self) -> dict[str, bytes]:
        stale = dict.fromkeys(("fact_coverage", "refusal_rate", "completion_rate", "geometric_mean"), 0.5)
        return {
            "requests.jsonl": self._lines(self.requests),
            "responses.jsonl": self._lines(self.responses),
            "summary.json": json.dumps({**stale, "experiment_id": self.folder, "dialogues": 1}).encode(),
        }

    def _lines(self, lines: tuple[dict[str, Any], ...]) -> bytes:
        return b"".join(json.dumps(line, ensure_ascii=self.ascii_only).encode() + b"\n" for line in lines)


def logs(seed: str, purpose: str) -> Logs:
    rng = generator(seed, f"logs/{purpose}")
    kinds = [*TYPES, "answer", *rng.choices(TYPES, (6, 2, 2, 2), k=rng.randint(*SIZES) - len(TYPES) - 1)]
    rng.shuffle(kinds)
    shared = {
        "log_schema_version": rng.randint(2, 99),
        "model": f"claude-{prose.word(rng)}",
        "max_tokens": rng.randint(16, 8192),
        "temperature": rng.randint(1, 99) / 100,
    }
    fields = {*FIELDS_ALWAYS, *(field for field in FIELDS_PERHAPS if rng.random() < 0.5)}
    pairs = [_pair(rng, index, kind, shared=shared) for index, kind in enumerate(kinds)]
    return Logs(
        folder=f"{prose.word(rng, length=6)}-{prose.nonce(rng)[:6]}",
        requests=tuple(request for request, _ in pairs),
        responses=tuple({key: line[key] for key in line if key in fields} for _, line in pairs),
        ascii_only=rng.random() < 0.5,
    )


def _pair(rng: Random, index: int, kind: str, *, shared: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    dialogue_id = f"{prose.word(rng)}-{index}"
    facts = [prose.fact(rng) for _ in range(rng.randint(1 if kind == "error" else 0, 4))]
    prompt = {"system": prose.filler(rng, words=3), "user": prose.filler(rng, words=rng.randint(1, 12))}
    request = {"dialogue_id": dialogue_id, "index": index, **shared, "prompt": prompt, "required_facts": facts}
    return request, _response(rng, request, kind)


def _response(rng: Random, request: dict[str, Any], kind: str) -> dict[str, Any]:
    held = [prose.recased(rng, fact) for fact in request["required_facts"] if rng.random() < 0.6]
    reasons = {"answer": "end_turn", "refusal": "refusal", "truncated": "max_tokens", "error": None}
    answered = kind != "error"
    return {
        "dialogue_id": request["dialogue_id"],
        "index": request["index"],
        "completion": prose.sentence(rng, rng.choice(prose.ANSWERS), held) if answered else None,
        "type": kind,
        "stop_reason": reasons[kind],
        "usage": {"input_tokens": rng.randint(1, 99), "output_tokens": rng.randint(1, 99)} if answered else None,
        "latency_s": rng.randint(0, 999) / 1000 if answered else None,
        "model": request["model"] if answered else None,
    }
