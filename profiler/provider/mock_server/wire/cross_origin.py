"""Which pages of a browser may ask the server, and what they may read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READABLE = "request-id, retry-after, " + ", ".join(
    f"anthropic-ratelimit-{name}-{part}"
    for name in ("requests", "tokens", "input-tokens", "output-tokens")
    for part in ("limit", "remaining", "reset")
)


def cross_origin_fields(headers: Mapping[str, str], *, allowed: Sequence[str]) -> bytes:
    """The header lines for a page of an allowed origin; none for everybody else."""
    origin = headers.get("origin")
    if origin is None or not (origin in allowed or "*" in allowed):
        return b"vary: origin\r\n"
    fields = f"access-control-allow-origin: {origin}\r\nvary: origin\r\naccess-control-expose-headers: {READABLE}\r\n"
    if "access-control-request-method" in headers:
        wanted = headers.get("access-control-request-headers", "*")
        fields += (
            "access-control-allow-methods: GET, POST, DELETE\r\n"
            f"access-control-allow-headers: {wanted}\r\naccess-control-max-age: 600\r\n"
        )
    return fields.encode("latin-1")
