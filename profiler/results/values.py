"""The values of an item by name: what `--where` and `--worst` can ask for, and the columns of an export."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from profiler.storage.reading.item import Item
    from profiler.storage.reading.saved_run import SavedRun

REQUEST: Final = ("required_facts", "expect_refusal", "expected", "tags", "temperature", "max_tokens", "api_version")
RECORD: Final = (
    *("index", "repeat", "type", "stop_reason", "model", "latency_s", "queue_s", "attempts", "request_id"),
    *("cost_usd", "maybe_usd", "ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s", "held_s", "between_s", "at_s"),
    *("tool_calls", "reused_from", "reused_cost_usd"),
)
TOKENS: Final = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_creation_input_tokens": ("cache_creation_input_tokens",),
    "cache_read_input_tokens": ("cache_read_input_tokens",),
    "thinking_tokens": ("output_tokens_details", "thinking_tokens"),
}
ERROR: Final = {
    "error": ("type",),
    "error.message": ("message",),
    "error.status": ("status",),
    "error.request_id": ("request_id",),
}
REFUSAL: Final = {"refusal_category": ("category",)}
TEXTS: Final = ("question", "answer", "replies")
METADATA: Final = "metadata."
# What `--no-texts` leaves out: the fields of a run's lines that hold texts, and the parts of others that may quote them.
TEXT_FIELDS: Final = (
    *("prompt", "request", "completion", "replies", "tool_calls", "expected", "required_facts", "metadata"),
)
TEXT_PARTS: Final = (("error", "message"), ("stop_details", "explanation"))
MADE_OF: Final = {
    "question": ("prompt",),
    "answer": ("completion", "replies"),
}  # names of values, and the fields of a record that they are made of


def holds_text(name: str) -> bool:
    """Whether the value of this name is a text of a question or an answer, or may quote one."""
    fields = MADE_OF.get(name, (name.partition(".")[0],))
    return any(field in TEXT_FIELDS for field in fields) or tuple(name.split(".")) in TEXT_PARTS


def _inside(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _at(path: str, value: Any) -> Any:
    """What stands at `a.b`: the value of the key `a.b` if there is one, else that of `b` in the object at `a`."""
    if not isinstance(value, dict) or path in value:
        return value.get(path) if isinstance(value, dict) else None
    heads = (path[:at] for at, sign in enumerate(path) if sign == ".")
    found = (_at(path[len(head) + 1 :], value[head]) for head in heads if head in value)
    return next((each for each in found if each is not None), None)


def metadata_key(key: str) -> Callable[[Item], Any]:
    """A function that gets the value of this key of the metadata, whatever dots are in it."""
    return _of("request", "metadata", key)


def _of(line: str, *keys: str) -> Callable[[Item], Any]:
    return lambda item: _inside(getattr(item, line), keys)


GETTERS: Final[dict[str, Callable[[Item], Any]]] = {
    **{name: attrgetter(name) for name in ("dialogue_id", *TEXTS)},
    **{name: _of("record", name) for name in RECORD},
    "repeat": lambda item: item.request.get("repeat", item.record.get("repeat")),  # output_fields may leave it out
    **{name: _of("request", name) for name in REQUEST},
    **{name: _of("record", "usage", *keys) for name, keys in TOKENS.items()},
    **{name: _of("record", "error", *keys) for name, keys in ERROR.items()},
    **{name: _of("record", "stop_details", *keys) for name, keys in REFUSAL.items()},
}


def value_of(name: str, *, scores: Collection[str]) -> Callable[[Item], Any]:
    """A function that gets the value of this name from an item. A score wins over a field of the same name."""
    if name in scores:
        return lambda item: item.scores.get(name)
    if name.startswith(METADATA):
        path = name.removeprefix(METADATA)
        return lambda item: _at(path, item.request.get("metadata"))
    if name in GETTERS:
        return GETTERS[name]
    known = (*scores, *GETTERS)
    hint = did_you_mean(name, known) or f"known are {', '.join(known)}, and metadata.NAME"
    raise UsageError(f"there is no value {name!r} in this run", hint=hint)


def score_names(run: SavedRun, *, search_path: Path | None) -> list[str]:
    """What each item is scored by. Of a finished run its own file says it, so metrics of one's own need not be at hand."""
    for line in run.scores(search_path=search_path):
        return list(line["scores"])
    return [metric.name for metric in run.metrics(search_path=search_path) if metric.score is not None]
