"""Chooses which of many possible answers a question gets that is asked again.

This is only used with `--vary`; without it every ask gets the first.
"""

from __future__ import annotations

from hashlib import blake2b

DEFAULT_TEMPERATURE = 1.0


def variation(seed: int, question: str, times: int, *, temperature: float | None) -> int:
    """0 is the answer that everybody gets without variation; at temperature 0 nobody gets another."""
    heat = DEFAULT_TEMPERATURE if temperature is None else temperature
    key = f"vary {seed} {times} {question}".encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(blake2b(key, digest_size=8).digest())
    return 1 + drawn % (1 << 20) if drawn < heat * 2**64 else 0
