"""The one answer of a static server, whole and as a stream, rendered once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from profiler.core.json import dumps
from profiler.provider.mock_server.answering.answers import USAGE
from profiler.provider.mock_server.delivery.events import event, events
from profiler.provider.mock_server.wire.reply_bytes import LAST_CHUNK, chunk

STATIC: Final[dict[str, Any]] = {
    "id": "msg_static",
    "type": "message",
    "role": "assistant",
    "model": "claude-static",
    "content": [{"type": "text", "text": "This is the one answer of a static mock server."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {**USAGE, "input_tokens": 24, "output_tokens": 12},
}
STATIC_BODY: Final = dumps(STATIC)
STREAMED_PARTS: Final = 20
WISHES: Final = (b'"stream":true', b'"stream": true')  # looked for at the end of a body, where clients write it


def wants_stream(body: bytes) -> bool:
    return any(wish in body[-200:] for wish in WISHES)


def _parts(text: str) -> list[bytes]:
    cuts = [at * len(text) // STREAMED_PARTS for at in range(STREAMED_PARTS + 1)]
    return [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text[start:end]})
        for start, end in pairwise(cuts)
    ]


def _streamed() -> bytes:
    (block,) = STATIC["content"]
    told = [data for data, _ in events({**STATIC, "container": None, "content": [{**block, "text": ""}]})]
    at = next(at for at, data in enumerate(told) if b"content_block_stop" in data)
    return b"".join([*map(chunk, (*told[:at], *_parts(block["text"]), *told[at:])), LAST_CHUNK])


STATIC_STREAM: Final = _streamed()
