from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

from profiler.engine.calls.job import sum_usage

THOUGHT = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}, "cache_creation": {"ephemeral_1h": 2}}


@pytest.mark.parametrize(
    ("turns", "together"),
    [
        ([{"input_tokens": 3}, {"input_tokens": 4, "output_tokens": 5}], {"input_tokens": 7, "output_tokens": 5}),
        (
            [THOUGHT, THOUGHT],
            {
                "output_tokens": 18,
                "output_tokens_details": {"thinking_tokens": 14},
                "cache_creation": {"ephemeral_1h": 4},
            },
        ),
        ([{"input_tokens": 1}, THOUGHT], {"input_tokens": 1, **THOUGHT}),
        ([{"service_tier": "standard", "speed": True, "input_tokens": 1}], {"input_tokens": 1}),
        ([{"input_tokens": 3}, {"input_tokens": None}, {"input_tokens": 4}], {"input_tokens": None}),
        ([{"cached": None, "input_tokens": 1}, {"cached": 4}], {"cached": 4, "input_tokens": 1}),
        ([{"input_tokens": 3}, {}, {"input_tokens": 4}], {}),
        ([{"cache_creation": {}}, {"cache_creation": {"ephemeral_1h": 2}}], {"cache_creation": {"ephemeral_1h": 2}}),
        ([{"odd": 3}, {"odd": {"nested": 1}}, {"odd": 4}], {"odd": {"nested": 1}}),
        ([{"odd": OrderedDict(nested=1)}, {"odd": OrderedDict(nested=2)}], {"odd": {"nested": 3}}),
    ],
)
def test_the_usage_of_turns_is_added_up(turns: list[dict[str, Any]], together: dict[str, Any]) -> None:
    total = None
    for usage in turns:
        total = sum_usage(total, usage)
    assert total == together


def test_the_usage_of_a_reply_stays_as_it_was() -> None:
    first: dict[str, Any] = {"details": {"thinking_tokens": 1}}
    total = sum_usage(sum_usage(None, first), first)
    assert (first, total) == ({"details": {"thinking_tokens": 1}}, {"details": {"thinking_tokens": 2}})
