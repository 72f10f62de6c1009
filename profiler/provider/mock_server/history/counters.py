"""What the server has seen: the numbers behind `/__stats`. Its memory is bounded, however many requests come."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.provider.mock_server.settings import REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Iterator


class Times(msgspec.Struct, gc=False):
    asked: int = 0
    answered: int = 0


class Tally:
    """Counts by name, in two generations: who was not seen for a whole generation is forgotten."""

    def __init__(self, *, remember: int) -> None:
        self._generation = max(1, remember // 2)
        self._new: dict[str, Times] = {}
        self._old: dict[str, Times] = {}
        self.distinct = 0
        self.forgotten = 0

    def of(self, name: str) -> Times:
        times = self._new.get(name)
        if times is not None:
            return times
        times = self._old.pop(name, None)
        if times is None:
            times = Times()
            self.distinct += 1
        if len(self._new) >= self._generation:
            self.forgotten += len(self._old)
            self._new, self._old = {}, self._new
        self._new[name] = times
        return times

    def items(self) -> Iterator[tuple[str, Times]]:
        yield from self._old.items()
        yield from self._new.items()


class Stats:
    """Counters since the start or the last reset."""

    def __init__(self, *, now: float = 0.0, remember: int = REMEMBERED) -> None:
        self._remember = remember
        self.connections_open = 0
        self.in_flight = 0
        self.reset(now=now)

    def reset(self, *, now: float) -> None:
        """Everything from zero, but what is still open and in flight."""
        self._started = now
        self.calls = 0
        self.requests: Counter[str] = Counter()
        self.replies: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.faults: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.malformed: Counter[int] = Counter()
        self.unfinished = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_written = 0
        self.cache_read = 0
        self.max_in_flight = self.in_flight
        self.connections = self.connections_open
        self.max_connections = self.connections_open
        self._asked = Tally(remember=self._remember)
        self._others = Tally(remember=self._remember)
        self._more_than_once = 0
        self._after_an_answer = 0
        self._first: float | None = None
        self._last = now
        self._second = -1
        self._in_second = 0
        self._peak = 0

    def connected(self) -> None:
        self.connections += 1
        self.connections_open += 1
        self.max_connections = max(self.max_connections, self.connections_open)

    def begin(self, endpoint: str, *, now: float) -> None:
        self.calls += 1
        self.requests[endpoint] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self._first is None:
            self._first = now
        self._last = now
        if (second := int(now)) != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        self._peak = max(self._peak, self._in_second)

    def spend(self, usage: dict[str, Any]) -> None:
        """What the provider would bill for one message."""
        self.input_tokens += usage["input_tokens"]
        self.output_tokens += usage["output_tokens"]
        self.cache_written += usage["cache_creation_input_tokens"]
        self.cache_read += usage["cache_read_input_tokens"]

    def spend_tokens(self, input_tokens: int, output_tokens: int) -> None:
        """The same, where no cache has a part in it."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def end(self, endpoint: str, status: int, *, whole: bool, asked: str | None) -> None:
        self.in_flight -= 1
        if not whole:
            self.unfinished += 1
            return
        self.replies[endpoint][status] += 1
        if asked is not None:
            self.answer(asked)

    def ask(self, name: str) -> int:
        """How often this dialogue or body was asked before."""
        times = self._asked.of(name)
        before, times.asked = times.asked, times.asked + 1
        self._more_than_once += before == 1
        self._after_an_answer += times.answered > 0
        return before

    def answer(self, name: str) -> None:
        """One more answer that came in another way than as the reply to its own call."""
        self._asked.of(name).answered += 1

    def meet(self, call: str) -> int:
        """How often a call that is no message was made before."""
        times = self._others.of(call)
        times.asked += 1
        return times.asked - 1

    def as_json(self, *, now: float, asked: bool = False) -> dict[str, Any]:
        span = self._last - self._first if self._first is not None else 0.0
        by_status: Counter[int] = Counter()
        for statuses in self.replies.values():
            by_status.update(statuses)
        shown: dict[str, Any] = {
            "uptime_s": round(now - self._started, 3),
            "requests": {"total": self.calls, "by_endpoint": dict(self.requests)},
            "replies": {
                "by_status": _named(by_status),
                "by_endpoint": {endpoint: _named(statuses) for endpoint, statuses in self.replies.items()},
                "unfinished": self.unfinished,
            },
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": {
                "open": self.connections_open,
                "opened": self.connections,
                "max_open": self.max_connections,
                "malformed": _named(self.malformed),
            },
            "faults": dict(self.faults),
            "rate_limited": dict(self.limited),
            "tokens": {
                "input": self.input_tokens,
                "output": self.output_tokens,
                "cache_written": self.cache_written,
                "cache_read": self.cache_read,
            },
            "rate": {"span_s": round(span, 3), "peak_per_second": self._peak},
            "asked": {
                "distinct": self._asked.distinct,
                "more_than_once": self._more_than_once,
                "after_an_answer": self._after_an_answer,
                "forgotten": self._asked.forgotten,
            },
        }
        if asked:
            shown["asked"]["each"] = {
                name: {"asked": times.asked, "answered": times.answered} for name, times in self._asked.items()
            }
        return shown


def _named(statuses: Counter[int]) -> dict[str, int]:
    return {str(status): statuses[status] for status in sorted(statuses)}
