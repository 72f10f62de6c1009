"""`clients.wire`: what a reply keeps of its content."""

from __future__ import annotations

from typing import Any

from profiler.core.json import dumps
from profiler.provider.messages import reply_of


def body(*content: dict[str, Any], stop_reason: str = "end_turn") -> bytes:
    return dumps(
        {"type": "message", "model": "m", "content": content, "stop_reason": stop_reason, "usage": {"input_tokens": 1}}
    )


def test_blocks_of_a_reply_that_calls_tools_are_kept_as_they_came() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": "abc"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"deep": {"er": [1, None]}}},
    ]

    reply = reply_of(body(*blocks, stop_reason="tool_use"), {})

    assert reply.content == blocks
    assert reply.completion == "Let me look."


def test_a_reply_of_text_keeps_only_its_text() -> None:
    reply = reply_of(body({"type": "text", "text": "a"}, {"type": "text", "text": "b"}), {})

    assert (reply.completion, reply.content) == ("ab", None)


def test_a_call_that_was_cut_off_is_kept_too() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}

    assert reply_of(body(block, stop_reason="max_tokens"), {}).content == [block]
