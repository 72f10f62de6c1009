"""The lines of an Every Eval Ever file: one for each answer and each metric that says whether an answer is right."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from profiler.core.json import dumps
from profiler.results.comparing.measured_run import COMPLETION
from profiler.results.report.verdict import SHARE, perfect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from profiler.metrics.metric import Better
    from profiler.storage.reading.item import Item

BETWEEN_0_AND_1: Final = (SHARE, "geometric_mean", "refusal_rate", "completion_rate")


class Right:
    """What is right by each metric, and which metrics have nothing but true and false: known when all items have passed."""

    def __init__(self, better: Mapping[str, Better]) -> None:
        self._better = better
        self._others: set[str] = set()
        self._true_false: set[str] = set()

    def judged(self, item: Item) -> Iterator[tuple[str, float, bool]]:
        """The scores of an item that say whether its answer is right; a length does not, nor that there is an answer."""
        for name, score in item.scores.items():
            if isinstance(score, bool):
                self._true_false.add(name)
            elif score is not None:
                self._others.add(name)
            judges = isinstance(score, bool) or (name == SHARE and score is not None)
            if judges and name in self._better and name != COMPLETION:
                yield name, float(score or 0), perfect(name, score, self._better)

    def between_0_and_1(self, name: str) -> bool:
        return name in BETWEEN_0_AND_1 or name in self._true_false - self._others


def samples(items: Iterable[Item], right: Right, *, told: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The lines; `told` is what all of them say of the run."""
    for item in items:
        judged = list(right.judged(item))
        if judged:
            sample = {**told, **_sample(item)}
            turns = max(1, len(item.replies))
            for name, score, is_right in judged:
                evaluation = {"score": score, "is_correct": is_right, "num_turns": turns}
                yield {**sample, "evaluation_result_id": name, "evaluation": evaluation}


def _sample(item: Item) -> dict[str, Any]:
    """What the lines of all metrics say of an answer."""
    said = item.conversation
    single = len(said) == 2 and not item.record.get("tool_calls")
    reference = _reference(item)
    messages = [{"turn_idx": at, "role": role, "content": text} for at, (role, text) in enumerate(said)]
    metadata = {
        "type": item.type,
        **({"tags": ", ".join(item.request["tags"])} if item.request.get("tags") else {}),
        **({"repeat": str(item.repeat)} if "repeat" in item.request else {}),
        **({"reused_from": item.record["reused_from"]} if item.record.get("reused_from") else {}),
    }
    return {
        "sample_id": item.dialogue_id,
        "sample_hash": hashlib.sha256((item.question + "".join(reference)).encode()).hexdigest(),
        "interaction_type": "single_turn" if single else "multi_turn",
        "input": {"raw": item.question, "reference": reference},
        "output": {"raw": [item.answer or ""]} if single else None,
        "messages": None if single else messages,
        "answer_attribution": [],
        **_measured(item.record),
        "metadata": metadata,
    }


def _reference(item: Item) -> list[str]:
    """What answers were compared with, as texts."""
    expected = item.request.get("expected")
    found = expected if isinstance(expected, list) else [] if expected is None else [expected]
    texts = [each if isinstance(each, str) else dumps(each).decode() for each in found]
    return [*texts, *(item.request.get("required_facts") or ())]


def _measured(record: Mapping[str, Any]) -> dict[str, Any]:
    usage, found = record.get("usage") or {}, dict[str, Any]()
    came_in, went_out = usage.get("input_tokens"), usage.get("output_tokens")
    if isinstance(came_in, int) and isinstance(went_out, int):
        found["token_usage"] = {"input_tokens": came_in, "output_tokens": went_out, "total_tokens": came_in + went_out}
    times = {"latency_ms": record.get("latency_s"), "time_to_first_token_ms": record.get("ttft_s")}
    if known := {name: 1000 * seconds for name, seconds in times.items() if seconds is not None}:
        found["performance"] = known
    return found
