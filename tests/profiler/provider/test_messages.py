"""`clients.wire`: what a reply keeps of its content."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.core.json import dumps
from profiler.provider.failures import bad_reply
from profiler.provider.messages import NotAMessage, reply_of
from profiler.provider.redact import Redactor


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


@pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence", "refusal"])
def test_a_call_is_kept_whatever_the_reply_says_of_its_end(stop_reason: str) -> None:
    call = {"type": "tool_use", "id": "t", "name": "look", "input": {}}

    assert reply_of(body(call, stop_reason=stop_reason), {}).content == [call]


def wire(given: bytes) -> bytes:
    """A reply whose call has this input, as bytes that a strict writer would not write."""
    call = {"type": "tool_use", "id": "t", "name": "look", "input": "HERE"}
    return body(call, stop_reason="tool_use").replace(b'"HERE"', given)


def given_of(written: bytes) -> Any:
    content = reply_of(written, {}).content
    assert content is not None
    return content[0]["input"]


def test_half_a_character_in_what_a_call_is_given_is_replaced_and_whole_ones_are_left() -> None:
    given = given_of(wire(rb'{"a": "x\ud800y \ud83d\ude00 \\ud800"}'))

    assert given == {"a": "x\ufffdy \U0001f600 \\ud800"}


def test_a_number_beyond_all_bounds_in_what_a_call_is_given_is_no_crash() -> None:
    assert given_of(wire(b'{"a": 1e999}')) == {"a": "1e999"}


def test_what_is_nested_too_deep_is_told_apart_from_what_is_no_json() -> None:
    depth = 200_000  # newer interpreters bear some ten thousand
    with pytest.raises(NotAMessage) as caught:
        reply_of(wire(b"[" * depth + b"]" * depth), {})

    failure = bad_reply(caught.value, {}, b"", redact=Redactor())
    assert (failure.kind, failure.retryable) == ("nested_too_deep", False)


def test_a_key_of_one_letter_mutilates_no_message() -> None:
    assert Redactor("a", "sk-ant-abcdefgh", "longenough")("a banana, sk-ant-abcdefgh, longenough") == (
        "a banana, [redacted], [redacted]"
    )
