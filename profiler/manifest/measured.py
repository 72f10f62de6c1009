"""How a manifest asks for what was measured of answers, such as their time to the first token, as metrics."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Limit = Annotated[float, Meta(gt=0)]


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A number that was measured for each answer. It has no options."""


class Slo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How quick an answer must be to be good (service level objectives); all that are set must hold."""

    ttft_s: Annotated[Limit | None, Meta(description="The most seconds to the first token; needs streams.")] = None
    latency_s: Annotated[Limit | None, Meta(description="The most seconds of all calls of a dialogue.")] = None
    gap_p95_s: Annotated[
        Limit | None, Meta(description="The most seconds between two parts of an answer, at its p95; needs streams.")
    ] = None
    tokens_per_s: Annotated[
        Limit | None, Meta(description="The fewest tokens a second with which it is written; needs streams.")
    ] = None

    @property
    def limits(self) -> dict[str, float]:
        return {name: limit for name in self.__struct_fields__ if (limit := getattr(self, name)) is not None}


# The field of a record that each of them reads; some exist only where answers are streamed.
FIELDS = {
    "latency_s": "latency_s",
    "ttft_s": "ttft_s",
    "output_tokens": "usage",
    "cost_usd": "cost_usd",
    "tokens_per_s": "tokens_per_s",
}
STREAMED = ("ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s")
LESS_IS_BETTER = ("latency_s", "ttft_s", "cost_usd")
