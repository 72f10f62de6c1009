"""Why the cache could not serve a request as well as the one before: `diagnostics.cache_miss_reason`."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from profiler.provider.mock_server.caching.segments import segments

if TYPE_CHECKING:
    from profiler.provider.mock_server.caching.segments import Segment
    from profiler.provider.mock_server.reading.prompts import NewMessage

MOST_REMEMBERED = 1000
REASONS = {"tools": "tools_changed", "system": "system_changed", "messages": "messages_changed"}


class Diagnosis:
    """Remembers the requests that ask for a diagnosis, by the id of the message that answered them."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, tuple[str, list[Segment]]] = OrderedDict()

    def reset(self) -> None:
        self._requests.clear()

    def of(self, wanted: NewMessage) -> dict[str, Any] | None:
        """The `diagnostics` of an answer; None where there is nothing to compare with, or nothing is amiss."""
        previous = (wanted.diagnostics or {}).get("previous_message_id")
        reason = self._reason(previous, _fingerprint(wanted)) if previous is not None else None
        return {"cache_miss_reason": reason} if reason is not None else None

    def remember(self, wanted: NewMessage, *, message_id: str) -> None:
        self._requests[message_id] = _fingerprint(wanted)
        if len(self._requests) > MOST_REMEMBERED:
            self._requests.popitem(last=False)

    def _reason(self, previous: str, now: tuple[str, list[Segment]]) -> dict[str, Any] | None:
        if previous not in self._requests:
            return {"type": "previous_message_not_found"}
        (old_model, old), (model, new) = self._requests[previous], now
        total = old[-1].tokens
        if model != old_model:
            return {"type": "model_changed", "cache_missed_input_tokens": total}
        shared = 0
        while shared < min(len(old), len(new)) and old[shared].prefix == new[shared].prefix:
            shared += 1
        if shared == len(old):
            return None  # the conversation only went on
        return _changed(old, new, shared)


def _fingerprint(wanted: NewMessage) -> tuple[str, list[Segment]]:
    return f"{wanted.model} {wanted.speed}", segments(wanted)


def _changed(old: list[Segment], new: list[Segment], shared: int) -> dict[str, Any]:
    """Which level differs first, in the order tools, system, messages."""
    levels = [parts[shared].level for parts in (old, new) if shared < len(parts)]
    if "settings" in levels:
        return {"type": "unavailable"}
    level = next(level for level in REASONS if level in levels)
    read = old[shared - 1].tokens if shared else 0
    return {"type": REASONS[level], "cache_missed_input_tokens": old[-1].tokens - read}
