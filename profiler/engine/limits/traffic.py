"""What calls take from the rate limits: those in flight by a guess, those that have ended by what they really used."""

from __future__ import annotations

import msgspec

from profiler.engine.limits.draw import Draw


class Traffic:
    """The calls in flight, in the order in which they left, and sums over them and over all calls of the run."""

    def __init__(self) -> None:
        self.in_flight = Draw(requests=0.0)
        self.first_left_at: float | None = None
        self._calls: dict[Draw, None] = {}
        self._settled = Draw(requests=0.0)

    def __len__(self) -> int:
        return len(self._calls)

    def left(self, draw: Draw, *, now: float) -> None:
        if self.first_left_at is None:
            self.first_left_at = now
        draw.left_at = now
        self._calls[draw] = None
        total = self.in_flight  # written out, here and below: `Draw.add` would be one call more each time
        total.requests += draw.requests
        total.input_tokens += draw.input_tokens
        total.output_tokens += draw.output_tokens
        total.max_tokens += draw.max_tokens

    def ended(self, draw: Draw, *, input_tokens: float, output_tokens: float) -> None:
        """A call ended that used so many tokens."""
        self._calls.pop(draw, None)
        total, settled = self.in_flight, self._settled
        total.requests -= draw.requests
        total.input_tokens -= draw.input_tokens
        total.output_tokens -= draw.output_tokens
        total.max_tokens -= draw.max_tokens
        settled.requests += draw.requests
        settled.input_tokens += input_tokens
        settled.output_tokens += output_tokens

    @property
    def used(self) -> Draw:
        """What all calls of the run have taken so far."""
        total = msgspec.structs.replace(self._settled)
        total.add(self.in_flight)
        return total

    def left_until(self, moment: float) -> Draw:
        """What the calls in flight have taken that left until then."""
        total = Draw(requests=0.0)
        for call in self._calls:
            if call.left_at > moment:
                break
            total.add(call)
        return total

    def take_max_tokens(self) -> float:
        """From here on each call in flight takes the whole of its `max_tokens`. Returns how much more that is."""
        more = self.in_flight.max_tokens - self.in_flight.output_tokens
        self.in_flight.output_tokens += more
        for call in self._calls:
            call.output_tokens = call.max_tokens
        return more
