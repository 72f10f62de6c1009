"""One page of a list, as the query of a request asks for it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_LIMIT, LARGEST_LIMIT = 20, 1000
TOKEN_PREFIX = "page_"  # noqa: S105 (no secret: the API calls it that)


def asked(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}


def page_by_id(ids: Sequence[str], query: str, *, show: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """A page after or before an id: the way of models and batches."""
    wanted = asked(query)
    limit = limit_of(wanted)
    rest, more_before = list(ids), False
    if (after := wanted.get("after_id")) is not None:
        rest = rest[_place(rest, after, name="after_id") + 1 :]
    if (before := wanted.get("before_id")) is not None:
        rest = rest[: _place(rest, before, name="before_id")]
        more_before = len(rest) > limit
        rest = rest[-limit:]
    chosen = rest[:limit]
    return {
        "data": [show(each) for each in chosen],
        "has_more": more_before or len(rest) > limit,
        "first_id": chosen[0] if chosen else None,
        "last_id": chosen[-1] if chosen else None,
    }


def page_by_token(ids: Sequence[str], query: str, *, show: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """A page after the one whose `next_page` is given: the way of files."""
    wanted = asked(query)
    limit = limit_of(wanted)
    rest = list(ids)
    if token := wanted.get("page"):
        rest = rest[_place(rest, _named(token), name="page") + 1 :]
    chosen = rest[:limit]
    return {
        "data": [show(each) for each in chosen],
        "next_page": _token(chosen[-1]) if len(rest) > limit else None,
    }


def limit_of(wanted: dict[str, str]) -> int:
    text = wanted.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= LARGEST_LIMIT:
        raise invalid(f"limit: found {text[:40]!r}, expected a number from 1 to {LARGEST_LIMIT}")
    return limit


def _place(ids: Sequence[str], wanted: str, *, name: str) -> int:
    if wanted not in ids:
        raise invalid(f"{name}: found {wanted[:100]!r}, expected the id of something in the list")
    return ids.index(wanted)


def _token(last: str) -> str:
    return TOKEN_PREFIX + base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def _named(token: str) -> str:
    """The id in a token; what is no token of ours names nothing, which is said as for every other one."""
    encoded = token.removeprefix(TOKEN_PREFIX)
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return token
