"""What calls take from the rate limits while they are in flight."""

from __future__ import annotations

import msgspec


class Draw(msgspec.Struct, eq=False, gc=False):
    """What one call, or several together, took from the limits; put right when the usage of the reply is known."""

    input_tokens: float = 0.0
    output_tokens: float = 0.0
    requests: float = 1.0
    max_tokens: int = 0
    left_at: float = 0.0

    def add(self, other: Draw) -> None:
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.max_tokens += other.max_tokens
