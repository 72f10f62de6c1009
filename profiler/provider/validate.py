"""Any client that we did not write, held to its promise: a whole Reply, or an exception.

What a run keeps must be what its reduction can count, so nonsense stops the run before it is in the journal.
Knows nothing of what the client does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import encode
from profiler.core.nouns import Reply

if TYPE_CHECKING:
    from profiler.core.nouns import Request
    from profiler.provider.client import Client

LARGEST_COUNT = 1 << 53


class Checked:
    """Hands on what the client answers, if it is an answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def complete(self, request: Request) -> Reply:
        name = request.dialogue.dialogue_id
        try:
            reply = await self._client.complete(request)
        except SystemExit as error:
            raise RuntimeError(f"the client left the program at {name!r}, expected a Reply or a CallError") from error
        if reason := fault(reply):
            raise TypeError(f"the client answered {name!r} with {reply!r}, expected a Reply: {reason}")
        return reply


def fault(reply: object) -> str | None:
    """What is wrong with a reply, if anything is."""
    if type(reply) is not Reply:
        return f"found {type(reply).__name__}"
    try:
        msgspec.json.decode(encode(reply), type=Reply)  # types of fields are only checked on their way in
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        return str(error)
    if reply.latency_s is not None and not 0.0 <= reply.latency_s < math.inf:
        return f"latency_s: found {reply.latency_s!r}, expected seconds"
    return _usage_fault(reply.usage)


def _usage_fault(usage: dict[str, Any]) -> str | None:
    details = usage.get("output_tokens_details")
    if details is not None and not isinstance(details, dict):
        return f"usage.output_tokens_details: found {details!r}, expected an object"
    for name, count in [*usage.items(), *(details or {}).items()]:
        if str(name).endswith("_tokens") and not _is_count(count):
            return f"usage.{name}: found {count!r}, expected a whole number or None"
    return None


def _is_count(count: object) -> bool:
    return count is None or (type(count) is int and 0 <= count <= LARGEST_COUNT)
