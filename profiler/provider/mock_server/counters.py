"""What the server has seen: the numbers behind `/__stats`.

Comes in: the beginning and the end of each call, as the application tells them. Goes out: one JSON object.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any


class Stats:
    """Counters since the start or the last reset."""

    def __init__(self, *, now: float = 0.0) -> None:
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
        self.max_in_flight = self.in_flight
        self.connections = self.connections_open
        self.max_connections = self.connections_open
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.asked_after_answer = 0
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

    def spend(self, input_tokens: int, output_tokens: int) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def end(self, endpoint: str, status: int, *, whole: bool, asked: str | None) -> None:
        self.in_flight -= 1
        if not whole:
            self.unfinished += 1
            return
        self.replies[endpoint][status] += 1
        if asked is not None:
            self.answered[asked] += 1

    def ask(self, name: str) -> int:
        """How often this dialogue or body was asked before."""
        before = self.asked[name]
        self.asked[name] = before + 1
        if self.answered[name]:
            self.asked_after_answer += 1
        return before

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
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "rate": {"span_s": round(span, 3), "peak_per_second": self._peak},
            "asked": {
                "distinct": len(self.asked),
                "more_than_once": sum(count > 1 for count in self.asked.values()),
                "after_an_answer": self.asked_after_answer,
            },
        }
        if asked:
            shown["asked"]["each"] = {
                name: {"asked": count, "answered": self.answered[name]} for name, count in self.asked.items()
            }
        return shown


def _named(statuses: Counter[int]) -> dict[str, int]:
    return {str(status): statuses[status] for status in sorted(statuses)}
