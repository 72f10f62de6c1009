"""Bodies that travel compressed, in both directions."""

from __future__ import annotations

import gzip
import zlib

from profiler.provider.mock_server.settings import ApiError

WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # as zlib writes the formats
WORTH_IT = 256  # bytes; less is not made smaller


def decoded(body: bytes, *, coding: str, limit: int) -> bytes:
    """What was compressed, however well, and never more than a body may be."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in WINDOW:
        raise _refusal(400, "request_body_encoding_unsupported", f"content-encoding {coding[:40]!r} is not supported")
    decoder = zlib.decompressobj(WINDOW[coding])
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise _refusal(400, "request_body_encoding_invalid", f"the body is no {coding}") from None
    if len(plain) > limit:
        raise _refusal(
            413,
            "request_body_too_large_after_decoding",
            f"Request exceeds the maximum size, {limit} bytes, once decoded",
        )
    if not decoder.eof or decoder.unused_data:
        raise _refusal(400, "request_body_encoding_invalid", f"the body is no whole {coding}")
    return plain


def _refusal(status: int, code: str, message: str) -> ApiError:
    kind = "request_too_large" if status == 413 else "invalid_request_error"
    return ApiError(status, kind, message, code=code)


def compressed(reply: bytes) -> bytes:
    """A whole reply with its body compressed, if that is worth it."""
    head, gap, body = reply.partition(b"\r\n\r\n")
    if len(body) < WORTH_IT or b"content-length: " not in head:
        return reply
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length: ")]
    packed = gzip.compress(body, compresslevel=1, mtime=0)
    lines += [b"content-encoding: gzip", b"vary: accept-encoding", b"content-length: %d" % len(packed)]
    return b"\r\n".join(lines) + gap + packed
