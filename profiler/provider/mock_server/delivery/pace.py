"""How long an answer takes: until its first token, and from there to its end.

All parts add up: a latency that is the same for all, a time to the first token, the reading of the prompt, the writing
of the answer, and a pause in mid-stream. What is drawn only depends on the seed and the name of the call.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from profiler.provider.mock_server.admission.chance import Draws
    from profiler.provider.mock_server.settings import ServerSettings


def latency(settings: ServerSettings, drawn: Draws) -> float:
    if drawn.stall < settings.stall_rate:
        return settings.stall_s
    if not settings.latency_sigma:
        return settings.latency_s
    return settings.latency_s * math.exp(settings.latency_sigma * NormalDist().inv_cdf(drawn.latency))


class Pace(msgspec.Struct, frozen=True):
    """When the parts of one answer are written."""

    first_s: float = 0.0  # until the first token
    rest_s: float = 0.0  # from there to the end, a pause not counted
    jitter: float = 0.0  # the sigma of the gaps between tokens
    pause_s: float = 0.0
    pause_at: float = 0.5  # after this share of the answer
    seed: int = 0

    @property
    def total_s(self) -> float:
        return self.first_s + self.rest_s + self.pause_s


class Gaps:
    """Tells before each part of a stream how long to wait for it; `characters` come after the first part. Without jitter
    the waits add up to what is left."""

    def __init__(self, pace: Pace, characters: int) -> None:
        self._per_character_s = pace.rest_s / characters if characters else 0.0
        self._pace = pace
        self._pause_in = pace.pause_at * characters if pace.pause_s and characters else None
        self._random = Random(pace.seed) if pace.jitter else None  # noqa: S311 (nothing here is a secret)

    def before(self, characters: int) -> float:
        """The wait for a part of so many characters."""
        gap_s = self._per_character_s * characters
        if self._random is not None and gap_s:
            gap_s *= _spread(self._random, self._pace.jitter)
        if self._pause_in is not None:
            self._pause_in -= characters
            if self._pause_in < 0:
                self._pause_in = None
                gap_s += self._pace.pause_s
        return gap_s


AT_ONCE = Pace()


def pace_of(settings: ServerSettings, usage: dict[str, Any], *, call: str, latency_s: float) -> Pace:
    """The pace of one answer, by its length and that of its prompt. What the cache holds is not read again."""
    first_s = latency_s / 2 + settings.ttft_s
    rest_s = latency_s / 2
    if settings.input_tokens_per_second:
        fresh = usage["input_tokens"] + usage["cache_creation_input_tokens"]
        first_s += fresh / settings.input_tokens_per_second
    if settings.tokens_per_second:
        rest_s += usage["output_tokens"] / settings.tokens_per_second
    if not (settings.jitter or settings.stream_stall_rate):
        return Pace(first_s, rest_s)
    seed = int.from_bytes(
        blake2b(f"pace {settings.seed} {call}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    )
    random = Random(seed)  # noqa: S311
    if settings.jitter:
        first_s, rest_s = first_s * _spread(random, settings.jitter), rest_s * _spread(random, settings.jitter)
    pauses = random.random() < settings.stream_stall_rate
    pause_s = settings.stall_s if pauses else 0.0
    return Pace(first_s, rest_s, settings.jitter, pause_s, random.random(), seed)


def _spread(random: Random, sigma: float) -> float:
    """A factor around 1: log-normal, so never negative, and 1 on average."""
    return math.exp(random.gauss(-sigma * sigma / 2, sigma))
