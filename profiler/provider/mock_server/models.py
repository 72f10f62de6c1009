"""The models that the server lists. It answers for any `claude-…` id, listed or not.

Nothing is claimed that only the provider knows: no release dates beyond those in the ids, no limits.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from profiler.provider.mock_server.requests import known_model
from profiler.provider.mock_server.settings import invalid

IDS = (
    *("claude-fable-5-2", "claude-mythos-5-2", "claude-haiku-5-5", "claude-sonnet-5-5", "claude-fable-5-1"),
    *("claude-opus-5-5", "claude-mythos-5-1", "claude-sonnet-5", "claude-fable-5", "claude-mythos-5"),
    *("claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-mythos-preview", "claude-opus-4-6"),
    *("claude-sonnet-4-6", "claude-haiku-4-5-20251001", "claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929"),
)
_LINE = re.compile(r"claude-(haiku|sonnet|opus|fable|mythos)\b")
_DATED = re.compile(r"-(\d{4})(\d{2})(\d{2})$")
_DEFAULT_PAGE, _LARGEST_PAGE = 20, 1000


def info(model: str) -> dict[str, Any]:
    known_model(model)
    line, dated = _LINE.match(model), _DATED.search(model)
    return {
        "type": "model",
        "id": model,
        "display_name": _DATED.sub("", model).replace("-", " ").title(),
        "created_at": "{}-{}-{}T00:00:00Z".format(*dated.groups()) if dated else "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "line": line[1] if line else None,
        "capabilities": None,
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": None,
        "max_tokens": None,
    }


def page(query: str) -> dict[str, Any]:
    """One page of the list, as the query asks for it: limit, after_id, before_id."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    limit = _limit(asked.get("limit", str(_DEFAULT_PAGE)))
    ids = list(IDS)
    more_before = False
    if (after := asked.get("after_id")) is not None:
        ids = ids[_index(after, "after_id") + 1 :]
    if (before := asked.get("before_id")) is not None:
        ids = ids[: _index(before, "before_id")]
        more_before = len(ids) > limit
        ids = ids[-limit:]
    chosen = ids[:limit]
    return {
        "data": [info(model) for model in chosen],
        "has_more": more_before or len(ids) > limit,
        "first_id": chosen[0] if chosen else None,
        "last_id": chosen[-1] if chosen else None,
    }


def _limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= _LARGEST_PAGE:
        raise invalid(f"limit: found {text[:40]!r}, expected a number from 1 to {_LARGEST_PAGE}")
    return limit


def _index(model: str, name: str) -> int:
    if model not in IDS:
        raise invalid(f"{name}: found {model[:100]!r}, expected the id of a listed model")
    return IDS.index(model)
