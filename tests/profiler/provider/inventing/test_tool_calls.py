"""Which tools are called, how often, and with what."""

from __future__ import annotations

from random import Random
from typing import Any

import jsonschema
import pytest

from profiler.provider.inventing.tool_calls import calls
from tests.profiler.provider.mock_server.reading.asking import (
    SCHEMA,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    exchange,
    read,
)

OTHER = TOOL | {"name": "get_time"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
SEEDS = range(400)


def drawn(*, rate: float = 0.5, **changes: Any) -> list[list[dict[str, Any]]]:
    prompt = read(**{"tools": [TOOL, OTHER]} | changes)
    return [calls(prompt, Random(seed), rate=rate) for seed in SEEDS]


def share(given: list[list[dict[str, Any]]]) -> float:
    return sum(bool(each) for each in given) / len(given)


def test_a_forced_tool_is_called_once_with_what_its_schema_takes() -> None:
    for given in drawn(tool_choice={"type": "tool", "name": "get_time"}):
        (call,) = given
        assert (call["type"], call["name"]) == ("tool_use", "get_time")
        jsonschema.validate(call["input"], SCHEMA)


def test_any_calls_one_or_some() -> None:
    given = drawn(tool_choice={"type": "any"})

    assert share(given) == 1
    assert {len(each) for each in given} == {1, 2, 3}
    assert {call["name"] for each in given for call in each} == {"get_weather", "get_time"}
    ids = [call["id"] for each in given for call in each]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("kind", ["any", "auto"])
def test_parallel_calls_can_be_forbidden(kind: str) -> None:
    given = drawn(tool_choice={"type": kind, "disable_parallel_tool_use": True})

    assert max(map(len, given)) == 1


@pytest.mark.parametrize(("rate", "low", "high"), [(0.0, 0, 0), (0.5, 0.4, 0.6), (1.0, 1, 1)])
def test_auto_calls_as_often_as_asked_for(rate: float, low: float, high: float) -> None:
    assert low <= share(drawn(rate=rate)) <= high
    assert low <= share(drawn(rate=rate, tool_choice={"type": "auto"})) <= high


def test_each_round_of_results_halves_the_wish_for_more() -> None:
    once = exchange("x", [TOOL_USE], [TOOL_RESULT])
    call, result = TOOL_USE | {"id": "toolu_2"}, TOOL_RESULT | {"tool_use_id": "toolu_2"}
    again = [*once, *exchange("x", [call], [result])[1:]]

    assert 0.4 < share(drawn(rate=1.0, messages=once)) < 0.6
    assert 0.15 < share(drawn(rate=1.0, messages=again)) < 0.35
    assert share(drawn(rate=1.0, messages=[*again, *exchange("x", "y", "z")[1:]])) == 1


def test_none_calls_none() -> None:
    assert share(drawn(rate=1.0, tool_choice={"type": "none"})) == 0


def test_a_tool_that_is_not_loaded_yet_is_not_called() -> None:
    names = {call["name"] for each in drawn(rate=1.0, tools=[TOOL, OTHER | {"defer_loading": True}]) for call in each}

    assert names == {"get_weather"}


def test_what_runs_at_the_provider_is_not_called() -> None:
    assert share(drawn(rate=1.0, tools=[SEARCH])) == 0


def test_the_providers_own_client_tools_are_called_with_what_they_take() -> None:
    (first, *_) = drawn(tools=[{"type": "bash_20250124", "name": "bash"}], tool_choice={"type": "any"})

    assert first[0]["input"] == {"command": "ls"}
