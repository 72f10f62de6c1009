"""Logs that no run wrote but the grader: what `summarize` is asked about.

Types and stop reasons disagree in them, texts hold every separator, and beside them lies a summary.json that is wrong,
or none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.worlds import names, prose
from grader.experiment_profiler.worlds.manifests import FIELDS_ALWAYS, FIELDS_PERHAPS
from grader.experiment_profiler.worlds.near_misses import HELD, NEAR
from grader.experiment_profiler.worlds.world import generator

if TYPE_CHECKING:
    from random import Random

KINDS: Final = ("mixed", "long", "unanswered", "no-facts", "empty")
SIZES: Final = {"mixed": (24, 48), "long": (200, 500), "unanswered": (2, 9), "no-facts": (2, 9), "empty": (0, 0)}
FEW: Final = (3, 9)
ALL_OF_ONE_TYPE: Final = {"unanswered": "error", "nothing-held": "answer", "all-refused": "refusal"}
TYPES: Final = ("answer", "refusal", "truncated", "error")
STOPS: Final = ("end_turn", "refusal", "max_tokens", "stop_sequence", None)
ODD_KINDS: Final = ("facts-unanswered", "nothing-held", "all-refused")  # asked about through Python only
STALE: Final = ("mixed", "empty")  # the others lack a summary.json

LogsKey = tuple[str, str, str]  # what logs are drawn from: the seed, what they are for, and their kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Requests and responses side by side, and the name of the folder that holds them."""

    kind: str
    folder: str
    requests: tuple[dict[str, Any], ...]
    responses: tuple[dict[str, Any], ...]
    ascii_only: bool
    compact: bool

    def files(self) -> dict[str, bytes]:
        """What lies in the folder before summarize is asked."""
        files = {"requests.jsonl": self._lines(self.requests), "responses.jsonl": self._lines(self.responses)}
        return files | ({"summary.json": self._stale()} if self.kind in STALE else {})

    def _stale(self) -> bytes:
        wrong = dict.fromkeys(("fact_coverage", "refusal_rate", "completion_rate", "geometric_mean"), 0.5)
        return json.dumps({**wrong, "experiment_id": f"{self.folder}2", "dialogues": 1}).encode()

    def _lines(self, lines: tuple[dict[str, Any], ...]) -> bytes:
        separators = (",", ":") if self.compact else None
        texts = (json.dumps(line, ensure_ascii=self.ascii_only, separators=separators) for line in lines)
        return b"".join(text.encode() + b"\n" for text in texts)


@lru_cache(maxsize=16)  # a box is laid out, asked and judged by the same ones
def logs(seed: str, purpose: str, kind: str = "mixed") -> Logs:
    rng = generator(seed, f"logs/{purpose}/{kind}")
    types = _types(rng, kind)
    shared = {
        "log_schema_version": rng.randint(2, 99),
        "model": names.model(rng),
        "max_tokens": rng.randint(16, 8192),
        "temperature": rng.randint(1, 99) / 100,
    }
    fields = {*FIELDS_ALWAYS, *(field for field in FIELDS_PERHAPS if kind == "mixed" or _perhaps(rng, kind))}
    ids = names.ids(rng, count=len(types))
    ways = iter([*NEAR.values(), *HELD.values()] if kind in {"mixed", "long", "unanswered"} else [])
    pairs = [
        _pair(rng, ids[index], (index, name), shared=shared, kind=kind, way=next(ways, None))
        for index, name in enumerate(types)
    ]
    return Logs(
        kind=kind,
        folder=names.experiment_id(rng),
        requests=tuple(_shuffled(rng, request | _unknown(rng)) for request, _ in pairs),
        responses=tuple(
            _shuffled(rng, {key: line[key] for key in line if key in fields} | _unknown(rng)) for _, line in pairs
        ),
        ascii_only=rng.random() < 0.5,
        compact=rng.random() < 0.5,
    )


def _unknown(rng: Random) -> dict[str, Any]:
    """A key that only the other program knows, in some lines."""
    value = rng.choice((None, True, prose.word(rng), {"type": "error", "completion": prose.word(rng)}))
    return {f"{prose.word(rng, length=5)}_{rng.randint(1, 9)}": value} if rng.random() < 0.3 else {}


def _perhaps(rng: Random, kind: str) -> bool:
    """Long logs hold only the fields that every log has."""
    return kind != "long" and rng.random() < 0.5


def _types(rng: Random, kind: str) -> list[str]:
    """The types of the responses. The first are answers, on which the search for facts is tried."""
    count = rng.randint(*SIZES.get(kind, FEW))
    if kind in ALL_OF_ONE_TYPE:
        return [ALL_OF_ONE_TYPE[kind]] * count
    if kind == "facts-unanswered":
        return ["error", *rng.choices(("answer", "refusal", "error"), k=count), "answer"]
    if kind in {"no-facts", "empty"}:
        return rng.choices(("answer", "refusal", "truncated"), k=count)
    answers = ["answer"] * (len(NEAR) + len(HELD)) if kind == "mixed" else []
    rest = [*TYPES, *rng.choices(TYPES, (4, 3, 2, 2), k=max(count, len(answers) + 12) - len(answers) - len(TYPES))]
    rng.shuffle(rest)
    return [*answers, *rest]


def _pair(
    rng: Random, dialogue_id: str, place: tuple[int, str], *, shared: dict[str, Any], kind: str, way: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    index, type_ = place
    facts, held = _facts(rng, type_=type_, kind=kind, way=way)
    prompt = {"system": prose.filler(rng, words=3), "user": prose.filler(rng, words=rng.randint(1, 12))}
    request = {"dialogue_id": dialogue_id, "index": index, **shared, "prompt": prompt, "required_facts": facts}
    return request, _response(rng, request, type_, held)


def _facts(rng: Random, *, type_: str, kind: str, way: Any) -> tuple[list[str], list[str]]:
    """The facts that are required, and those that the answer holds."""
    if kind == "no-facts" or (kind == "facts-unanswered" and type_ != "error"):
        return [], []
    if kind in {"nothing-held", "all-refused"}:
        return [prose.fact(rng)], []
    facts = [prose.fact(rng) for _ in range(rng.randint(1 if type_ == "error" else 0, 4))]
    held = [prose.recased(rng, fact) for fact in facts if rng.random() < 0.6]
    if way is None or type_ == "error":
        return facts, held
    fact, said = way(rng)
    return [fact, fact], [said]  # required twice, because it must count twice


def _response(rng: Random, request: dict[str, Any], kind: str, held: list[str]) -> dict[str, Any]:
    answered = kind != "error"
    opening = rng.choice((*prose.ANSWERS, *prose.REFUSALS))
    completion = prose.sentence(rng, opening, held) + rng.choice(prose.SEPARATORS)
    return {
        "dialogue_id": request["dialogue_id"],
        "index": request["index"],
        "completion": completion if answered else None,
        "type": kind,
        "stop_reason": rng.choice(STOPS) if answered else None,
        "usage": {"input_tokens": rng.randint(1, 99), "output_tokens": rng.randint(1, 99)} if answered else None,
        "latency_s": rng.randint(0, 999) / 1000 if answered else None,
        "model": request["model"],
    }


def _shuffled(rng: Random, values: dict[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in rng.sample(list(values), len(values))}
