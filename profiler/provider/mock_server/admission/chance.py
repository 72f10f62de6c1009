"""The numbers that chance gives to a call: the same for the same seed and call, in whatever order calls come."""

from __future__ import annotations

from hashlib import blake2b

import msgspec


class Draws(msgspec.Struct, frozen=True):
    """Three numbers in (0, 1) that only depend on the seed and the name of the call."""

    fault: float
    latency: float
    stall: float


def draws(seed: int, call: str) -> Draws:
    digest = blake2b(f"{seed} {call}".encode("utf-8", "surrogatepass"), digest_size=18).digest()
    return Draws(*((int.from_bytes(digest[at : at + 6]) + 0.5) / 2**48 for at in (0, 6, 12)))
