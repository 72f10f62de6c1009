"""Every lane gives the same reply of the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from profiler.core.nouns import Limit, RateHeaders
from tests.profiler.provider.asked_over import ALL_LANES, LANES, STREAMS, answered, as_asked, events, failed
from tests.profiler.provider.loopback import MESSAGE, error, http, serving

if TYPE_CHECKING:
    from profiler.provider.open import Lane


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_reply_is_the_same_over_every_lane(lane: Lane) -> None:
    async with serving(lambda _: as_asked(lane)) as server:
        reply = await answered(lane, server)

    assert (reply.completion, reply.stop_reason, reply.model, reply.request_id, reply.usage, reply.latency_s) == (
        "Paris.",
        "end_turn",
        "claude-haiku-4-5",
        "req_1",
        {"input_tokens": 12, "output_tokens": 3},
        None,
    )


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_text_blocks_are_joined_and_thinking_is_left_out(lane: Lane) -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Par"},
        {"type": "tool_use", "id": "t", "name": "look_up", "input": {}},
        {"type": "text", "text": "is."},
    ]
    async with serving(lambda _: as_asked(lane, content=content, stop_reason="tool_use")) as server:
        reply = await answered(lane, server)

    assert (reply.completion, reply.metadata["tools"]) == ("Paris.", ["look_up"])


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_refusal_keeps_its_category(lane: Lane) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": None}
    async with serving(lambda _: as_asked(lane, stop_reason="refusal", stop_details=details)) as server:
        reply = await answered(lane, server)

    assert (reply.stop_reason, reply.metadata["stop_details"]) == ("refusal", details)


@pytest.mark.parametrize("lane", LANES)
async def test_usage_is_kept_as_it_was_said(lane: Lane) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 7}, "new": [1]}
    async with serving(lambda _: http(200, {**MESSAGE, "usage": usage})) as server:
        assert (await answered(lane, server)).usage == usage


@pytest.mark.parametrize("lane", STREAMS)
async def test_a_streamed_reply_says_when_its_parts_came(lane: Lane) -> None:
    async with serving(lambda _: events(MESSAGE["content"][0])) as server:
        reply = await answered(lane, server)

    assert reply.ttft_s is not None
    assert reply.ttft_s > 0
    assert [gap >= 0 for gap in reply.gaps_s] == [True]


@pytest.mark.parametrize("lane", LANES)
async def test_a_reply_of_ten_megabytes_is_read(lane: Lane) -> None:
    text = "x" * 10_000_000
    async with serving(lambda _: http(200, {**MESSAGE, "content": [{"type": "text", "text": text}]})) as server:
        assert len((await answered(lane, server)).completion) == 10_000_000


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_rate_limits_are_read_from_a_reply_and_from_a_refusal(lane: Lane) -> None:
    told = {
        "anthropic_ratelimit_requests_limit": "50",
        "anthropic_ratelimit_requests_remaining": "49",
        "anthropic_ratelimit_requests_reset": "2026-11-21T00:00:10Z",
        "anthropic_ratelimit_output_tokens_limit": "8000",
        "anthropic_ratelimit_output_tokens_remaining": "nonsense",
    }
    async with serving(lambda _: error(429, **told)) as server:
        limits = (await failed(lane, server)).limits

    assert limits == RateHeaders(requests=Limit(50, 49))


@pytest.mark.parametrize("lane", LANES)
async def test_a_reply_carries_its_rate_limits(lane: Lane) -> None:
    told = {"anthropic_ratelimit_input_tokens_limit": "90", "anthropic_ratelimit_input_tokens_remaining": "9"}
    async with serving(lambda _: http(200, MESSAGE, **told)) as server:
        assert (await answered(lane, server)).limits == RateHeaders(input_tokens=Limit(90, 9))
