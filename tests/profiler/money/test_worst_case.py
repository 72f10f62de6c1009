from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from profiler.core.errors import UsageError
from profiler.core.nouns import CacheSettings, Message
from profiler.engine.run_money import card_of_run
from profiler.manifest.settings import Experiment
from profiler.money.budget import Budget
from profiler.money.prices import Ceiling, cost
from profiler.money.worst_case import (
    IMAGE_TOKENS,
    LARGEST_WINDOW,
    ROUNDS,
    UNSEEN_PROMPT,
    UNSEEN_TOOL,
    dialogue_most,
    prompt_bound,
)
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue
from tests.profiler.money.test_budget import HAIKU, request

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界 🎉", '"quoted"\n\\', "\x00\x1f"])
def test_the_prompt_has_at_most_a_token_for_each_byte_of_the_body(text: str) -> None:
    asked = request(user=text)

    assert prompt_bound(asked) == len(asked.body) > len(text.encode())


def blocks(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": (Message(role="user", content=list(content)),)}


def image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def test_an_image_counts_by_number_and_not_by_size() -> None:
    small, large = (prompt_bound(request(**blocks(image("A" * size)))) for size in (10, 1_000_000))

    assert small == large
    assert small >= IMAGE_TOKENS


def test_an_image_in_the_result_of_a_tool_counts_too() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image("A" * 50_000)]}

    assert IMAGE_TOKENS < prompt_bound(request(**blocks(result))) < IMAGE_TOKENS + 1_000


def test_a_document_counts_as_the_whole_context_window() -> None:
    document = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}

    assert prompt_bound(request(**blocks(document)), window=200_000) > 200_000
    assert prompt_bound(request(**blocks(document))) > LARGEST_WINDOW


def test_a_request_that_may_write_to_the_cache_is_reckoned_with_the_dearest_price() -> None:
    plain, cached = (
        Budget(HAIKU).worst(request(**blocks({"type": "text", "text": "x" * 5_000, **control})))
        for control in ({}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    )

    assert cached > 1.9 * plain


@pytest.mark.parametrize("asked", [{"user": "Why?"}, {"turns": ("Why?", "And then?")}])
def test_a_system_prompt_that_may_be_cached_is_reckoned_with_the_dearest_price(asked: dict[str, Any]) -> None:
    params = msgspec.structs.replace(PARAMS, max_tokens=1)
    plain, cached = (
        Budget(HAIKU).worst(
            Planner(msgspec.structs.replace(params, cache=cache), system="x" * 5_000).request(0, dialogue(**asked))
        )
        for cache in (None, CacheSettings(ttl="1h"))
    )

    assert cached > 1.9 * plain


def test_talk_about_caching_is_not_caching() -> None:
    talk, prose = (
        Budget(HAIKU).worst(request(user=text)) for text in ('the "cache_control" key', "the 'cache-control' keys")
    )

    assert talk < 1.1 * prose


def test_later_turns_are_reckoned_with_all_that_was_said_before() -> None:
    ceiling, turns = Ceiling(HAIKU), ("one", "two", "three")
    asked = request(turns=turns, max_tokens=100)
    planner = Planner(asked.params)
    total, following = 0, asked
    while following is not None:
        usage = {"input_tokens": len(following.body), "output_tokens": 100, "inference_geo": "us"}
        total += cost(HAIKU, usage) or 0
        answered = planner.next_turn(following, "x" * 100)
        if answered is None:
            break
        following = answered

    assert total <= dialogue_most(ceiling, asked) < 2 * total


def sending(own: dict[str, Any], **fields: Any) -> Any:
    return request(request=own, **fields)


CUSTOM = {"name": "look_up", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 4}


def test_tools_and_forms_count_with_what_the_api_adds_to_the_prompt() -> None:
    bare, tools = request(), sending({"tools": [CUSTOM]})
    both = sending({"tools": [CUSTOM], "output_format": {"type": "json_schema", "schema": {"type": "string"}}})

    assert prompt_bound(bare) == len(bare.body)
    assert prompt_bound(tools) == len(tools.body) + UNSEEN_PROMPT
    assert prompt_bound(both) == len(both.body) + 2 * UNSEEN_PROMPT


def test_a_tool_whose_definition_is_the_providers_counts_more() -> None:
    bash = sending({"tools": [{"type": "bash_20250124", "name": "bash"}]})

    assert prompt_bound(bash) == len(bash.body) + UNSEEN_PROMPT + UNSEEN_TOOL


def test_what_a_tool_at_the_provider_reads_is_covered_in_every_round_with_its_searches() -> None:
    asked = sending({"tools": [SEARCH]}, max_tokens=100)
    window = HAIKU.context_window or 0
    usage = {
        "input_tokens": ROUNDS * window,
        "output_tokens": ROUNDS * 100,
        "inference_geo": "us",
        "server_tool_use": {"web_search_requests": 4},
    }
    price = cost(HAIKU, usage)

    assert price is not None
    assert price <= Budget(HAIKU).worst(asked) <= 2 * price


def test_a_price_that_nobody_knows_beforehand_cannot_be_capped(tmp_path: Path) -> None:
    fast = Experiment(
        experiment_id="e", model="claude-haiku-4-5", max_tokens=9, dataset_path=tmp_path, request={"speed": "fast"}
    )

    with pytest.raises(UsageError, match=r"found a cap of \$1\.00 and request\.speed"):
        card_of_run(fast, mode="live", cap_usd=1.0)
    assert card_of_run(fast, mode="live", cap_usd=None) is not None
