"""What of a prompt is read from the cache and what is written to it, counted as the provider bills it.

Only what a request marks is kept. An entry can be read once the answer that wrote it has begun, until it expires;
reading it starts its time anew. The clock is the caller's. Time changes nothing but usage.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from profiler.provider.mock_server.caching.segments import segments

if TYPE_CHECKING:
    from profiler.provider.mock_server.caching.segments import Segment
    from profiler.provider.mock_server.reading.models import Model
    from profiler.provider.mock_server.reading.prompts import Prompt

LIFETIMES_S = {"5m": 300.0, "1h": 3600.0}
LOOK_BACK = 20  # parts before a breakpoint at which an entry is looked for
MOST_ENTRIES = 100_000


class Entry(NamedTuple):
    """One prefix that is kept."""

    ready_at: float
    expires_at: float


class Use(NamedTuple):
    """What one request reads, and what it will write when it is answered."""

    read: int
    written: dict[str, int]  # tokens by lifetime
    keeps: list[tuple[bytes, str]]  # prefixes with their lifetimes

    def usage(self, total: int) -> dict[str, Any]:
        """The input side of a usage object, out of all the input tokens there are."""
        read = min(self.read, total)
        short = min(self.written.get("5m", 0), total - read)
        long = min(self.written.get("1h", 0), total - read - short)
        return {
            "input_tokens": total - read - short - long,
            "cache_creation_input_tokens": short + long,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        }


class PromptCache:
    """The entries of one server."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def reset(self) -> None:
        self._entries.clear()

    def look(self, prompt: Prompt, takes: Model, *, now: float) -> Use | None:
        """How the cache serves a request; None where nothing is marked."""
        if prompt.plain:
            return None
        parts = segments(prompt)
        marked = [at for at, part in enumerate(parts) if part.ttl and part.tokens >= takes.cache_minimum]
        if not any(part.ttl for part in parts):
            return None
        read_at = self._longest(parts, marked, now)
        read = parts[read_at].tokens if read_at is not None else 0
        written: dict[str, int] = {}
        position = read
        for at in marked:
            ttl = parts[at].ttl or "5m"
            if parts[at].tokens > position:
                written[ttl] = written.get(ttl, 0) + parts[at].tokens - position
                position = parts[at].tokens
        return Use(read, written, [(parts[at].prefix, parts[at].ttl or "5m") for at in marked])

    def _longest(self, parts: list[Segment], marked: list[int], now: float) -> int | None:
        for at in reversed(marked):
            for earlier in range(at, max(-1, at - LOOK_BACK), -1):
                entry = self._entries.get(parts[earlier].prefix)
                if entry is not None and entry.ready_at <= now < entry.expires_at:
                    return earlier
        return None

    def keep(self, use: Use, *, now: float, ready_at: float) -> None:
        """The request is answered, and the answer begins at `ready_at`."""
        for prefix, ttl in use.keeps:
            ready = ready_at
            old = self._entries.pop(prefix, None)
            if old is not None and now < old.expires_at:
                ready = min(ready_at, old.ready_at)
            self._entries[prefix] = Entry(ready, max(now, ready) + LIFETIMES_S[ttl])
        while len(self._entries) > MOST_ENTRIES:
            self._entries.popitem(last=False)
