from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.json import encode
from profiler.core.nouns import CacheSettings, Message, Params, Request
from profiler.manifest.settings import Experiment
from profiler.provider.requests import API_VERSION, Planner, params_of
from tests.profiler.building import PARAMS, dialogue

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TURNS = dialogue(turns=("one", "two", "three"), system="brief")


def asked(planner: Planner | None = None, **fields: Any) -> Request:
    return (planner or Planner(PARAMS)).request(0, dialogue(**fields))


def body(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def line(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(request.line))
    return found


def user(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def test_only_what_the_manifest_sets_is_sent() -> None:
    assert body(asked(user="hello")) == {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [user("hello")]}


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("temperature", 0.0, {"temperature": 0.0}),
        ("top_p", 0.5, {"top_p": 0.5}),
        ("top_k", 7, {"top_k": 7}),
        ("stop_sequences", ("END", "\n\n"), {"stop_sequences": ["END", "\n\n"]}),
        ("thinking", {"type": "adaptive"}, {"thinking": {"type": "adaptive"}}),
        ("effort", "high", {"output_config": {"effort": "high"}}),
    ],
)
def test_a_setting_of_the_manifest_is_sent(name: str, value: object, sent: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"model": "m", "max_tokens": 1, name: value}
    planner = Planner(Params(**settings))
    assert body(asked(planner, user="q")) == {"model": "m", "max_tokens": 1, **sent, "messages": [user("q")]}


def test_all_settings_come_from_the_experiment() -> None:
    settings: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.1,
        "top_p": 0.2,
        "top_k": 3,
        "stop_sequences": ("x",),
        "thinking": {"type": "disabled"},
        "effort": "low",
        "cache": CacheSettings(),
        "api_version": "2026-01-02",
        "tools": ({"name": "t", "input_schema": {"type": "object"}},),
        "tool_choice": {"type": "any"},
        "output_format": {"type": "json_schema", "schema": {}},
        "request": {"service_tier": "auto"},
    }
    experiment = Experiment(experiment_id="e", dataset_path=Path("d"), **settings)
    assert params_of(experiment) == Params(**settings)
    assert set(settings) == set(Params.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "version"), [("temperature", "2023-06-01"), ("top_k", "2023-06-01"), ("effort", API_VERSION)]
)
def test_sampling_parameters_pin_the_version_that_takes_them(name: str, version: str | None) -> None:
    values: dict[str, Any] = {"temperature": 0.0, "top_k": 1, "effort": "low"}
    fields = {name: values[name]}
    experiment = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d"), **fields)
    assert params_of(experiment).api_version == version


def test_another_provider_says_a_version_of_its_own() -> None:
    experiment = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d"), provider="bedrock")
    assert params_of(experiment).api_version is None


def test_a_line_tells_the_version_where_it_is_not_the_usual_one() -> None:
    lines = [
        Planner(Params(model="m", max_tokens=1, api_version=version)).request(0, dialogue()).line
        for version in (API_VERSION, "2023-06-01")
    ]
    assert [line.api_version for line in lines] == [None, "2023-06-01"]


def test_what_is_cached_is_marked_where_the_provider_looks_for_it() -> None:
    planner = Planner(Params(model="m", max_tokens=1, cache=CacheSettings(system=True, messages=True)), system="long")
    control = CacheSettings().control
    sent = body(asked(planner, user="q"))
    assert sent["system"] == [{"type": "text", "text": "long", "cache_control": control}]
    assert sent["cache_control"] == control
    plain = Planner(Params(model="m", max_tokens=1, cache=CacheSettings(system=False, messages=False)), system="long")
    assert body(asked(plain, user="q")) == {"model": "m", "max_tokens": 1, "system": "long", "messages": [user("q")]}


@given(text=TEXT, system=TEXT, fact=TEXT)
def test_the_same_dialogue_gives_the_same_bytes_and_they_say_what_it_says(text: str, system: str, fact: str) -> None:
    fields: dict[str, Any] = {"user": text, "system": system, "required_facts": (fact,), "tags": (text,)}
    first, second = asked(**fields), asked(Planner(PARAMS), **fields)
    assert (first.body, first.line) == (second.body, second.line)
    assert body(first).get("system", "") == system
    assert body(first)["messages"] == [user(text)] == list(first.messages)
    assert line(first)["required_facts"] == [fact]


@pytest.mark.parametrize(
    ("of_dialogue", "of_experiment", "sent"),
    [
        ("own", "shared", "own"),
        (None, "shared", "shared"),
        ("own", None, "own"),
        (None, None, None),
        ("", "shared", None),
        (None, "", None),
    ],
)
def test_the_system_prompt_of_a_dialogue_comes_first_and_an_empty_one_is_none(
    of_dialogue: str | None, of_experiment: str | None, sent: str | None
) -> None:
    planner = Planner(PARAMS, system=of_experiment)
    for request in (asked(planner, system=of_dialogue), asked(planner, system=of_dialogue, turns=("a", "b"))):
        following = planner.next_turn(request, "reply")
        bodies = [body(each) for each in (request, following) if each is not None]
        assert [found.get("system", "absent") for found in bodies] == [sent or "absent"] * len(bodies)
        assert line(request)["prompt"]["system"] == sent


def test_a_line_says_what_was_asked_and_by_what_it_is_judged_in_this_order() -> None:
    planner = Planner(Params(model="m", max_tokens=5, temperature=0.5), system="s")
    request = planner.request(
        7, dialogue(1, user="q", required_facts=("f",), expect_refusal=True, tags=("t",), metadata={"level": 3})
    )
    assert list(line(request).items()) == [
        ("dialogue_id", "d1"),
        ("index", 7),
        ("model", "m"),
        ("temperature", 0.5),
        ("max_tokens", 5),
        ("prompt", {"system": "s", "user": "q"}),
        ("request_hash", sha256(request.body).hexdigest()),
        ("required_facts", ["f"]),
        ("expect_refusal", True),
        ("tags", ["t"]),
        ("metadata", {"level": 3}),
    ]


def test_what_a_dialogue_does_not_say_is_not_in_its_line() -> None:
    assert list(line(asked()))[-1] == "request_hash"
    assert line(asked())["temperature"] is None


def test_messages_are_sent_and_logged_as_they_stand() -> None:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": "größer 🌍"}]
    messages = (
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
        Message(role="user", content=blocks),
    )
    request = asked(messages=messages)
    plain = [user("a"), {"role": "assistant", "content": "b"}, user(blocks)]
    assert body(request)["messages"] == plain == line(request)["prompt"]["messages"]
    assert line(request)["request_hash"] == sha256(request.body).hexdigest()


def test_each_turn_is_asked_with_the_replies_so_far() -> None:
    planner = Planner(PARAMS)
    first = planner.request(3, TURNS)
    second = planner.next_turn(first, "reply 1")
    assert second is not None
    third = planner.next_turn(second, "reply 2")
    assert third is not None
    assert planner.next_turn(third, "reply 3") is None
    assert [each.turn for each in (first, second, third)] == [0, 1, 2]
    assert body(third) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 64,
        "system": "brief",
        "messages": [
            user("one"),
            {"role": "assistant", "content": "reply 1"},
            user("two"),
            {"role": "assistant", "content": "reply 2"},
            user("three"),
        ],
    }
    assert body(first)["messages"] == [user("one")]
    assert (third.index, third.dialogue, third.line) == (3, TURNS, first.line)


def test_a_dialogue_of_one_turn_has_no_next() -> None:
    assert Planner(PARAMS).next_turn(asked(), "reply") is None
    assert Planner(PARAMS).next_turn(asked(turns=("only",)), "reply") is None


def test_a_new_turn_counts_its_attempts_anew() -> None:
    planner = Planner(PARAMS)
    first = planner.request(0, TURNS)
    retried = Request(**{name: getattr(first, name) for name in Request.__struct_fields__} | {"attempt": 3})
    following = planner.next_turn(retried, "reply")
    assert following is not None
    assert following.attempt == 1


def test_the_hash_of_several_turns_tells_them_all_apart() -> None:
    hashes = {line(asked(turns=turns))["request_hash"] for turns in [("a",), ("a", "b"), ("a", "c")]}
    assert len(hashes) == 3
    assert line(asked(turns=("a", "b")))["prompt"] == {"system": None, "turns": ["a", "b"]}


def test_requests_are_planned_in_order_from_the_first_asked_for() -> None:
    planned = list(Planner(PARAMS).plan([dialogue(4), dialogue(5)], first=4))
    assert [(request.index, request.dialogue.dialogue_id) for request in planned] == [(4, "d4"), (5, "d5")]


def test_nothing_is_read_ahead_of_what_is_asked_for() -> None:
    read = iter([dialogue(0), dialogue(1)])
    planned = Planner(PARAMS).plan(read)
    next(planned)
    assert next(read).dialogue_id == "d1"


def planned(**settings: Any) -> Request:
    given = {"experiment_id": "e", "model": "m", "max_tokens": 8, "dataset_path": Path("d.json"), "system": "brief"}
    return asked(Planner(params_of(Experiment(**{**given, **settings})), system="brief"))


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"top_p": 0.5}, {"top_k": 1}])
def test_sampling_parameters_pin_the_api_version_and_the_log_says_so(sampling: dict[str, Any]) -> None:
    request = planned(**sampling)

    assert (request.params.api_version, line(request)["api_version"]) == ("2023-06-01", "2023-06-01")


def test_without_sampling_parameters_no_api_version_is_pinned() -> None:
    assert "api_version" not in line(planned())


def test_an_api_version_of_the_manifest_stands() -> None:
    assert planned(temperature=0.5, api_version="2026-10-21").params.api_version == "2026-10-21"


def test_caching_marks_the_system_prompt() -> None:
    marked = {"type": "text", "text": "brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    found = body(planned(cache=CacheSettings(ttl="1h")))

    assert (found["system"], found.get("cache_control")) == ([marked], None)


def test_caching_of_messages_leaves_the_mark_to_the_provider() -> None:
    found = body(planned(cache=CacheSettings(system=False, messages=True)))

    assert (found["system"], found["cache_control"]) == ("brief", {"type": "ephemeral", "ttl": "5m"})


def test_caching_does_not_change_what_the_log_says_of_the_prompt() -> None:
    assert line(planned(cache=CacheSettings()))["prompt"] == line(planned())["prompt"]


@given(count=st.integers(0, 5), repeats=st.integers(1, 4), data=st.data())
def test_what_is_planned_from_any_item_on_is_the_rest_of_the_whole_plan(
    count: int, repeats: int, data: st.DataObject
) -> None:
    planner = Planner(PARAMS, repeats=repeats)
    items = [dialogue(number) for number in range(count)]
    whole = list(planner.plan(items))
    first = data.draw(st.integers(0, len(whole)))

    assert [each.index for each in whole] == list(range(count * repeats))
    assert list(planner.plan(items[first // repeats :], first=first)) == whole[first:]


def test_repeats_of_a_dialogue_are_one_question_with_a_number_each() -> None:
    first, *others = Planner(PARAMS, repeats=3).plan([dialogue(0, turns=("a", "b"))])
    following = Planner(PARAMS, repeats=3).next_turn(others[1], "reply")

    assert [each.line.repeat for each in (first, *others)] == [0, 1, 2]
    assert {each.line.request_hash for each in others} == {first.line.request_hash}
    assert {each.body for each in others} == {first.body}
    assert following is not None
    assert following.repeat == 2
    assert asked().line.repeat is None


def test_the_hash_covers_what_the_manifest_and_the_dialogue_send() -> None:
    tool = {"name": "t", "input_schema": {"type": "object"}}
    usual = Params(model="m", max_tokens=1)
    own: tuple[dict[str, Any] | None, ...] = (None, {"service_tier": "auto"}, {"tools": [tool]})
    sent: list[dict[str, Any]] = [
        {},
        {"tools": (tool,)},
        {"tools": (tool,), "tool_choice": {"type": "any"}},
        {"request": {"a": 1}},
    ]
    sent.append({"output_format": {"type": "json_schema", "schema": {}}})
    hashes = [
        Planner(msgspec.structs.replace(usual, **more)).request(0, dialogue(request=each)).line.request_hash
        for more in sent
        for each in own
    ]

    # a dialogue that brings the tool of a manifest asks the same
    assert len(set(hashes)) == len(hashes) - 3
    assert (hashes[2] == hashes[3] == hashes[5], hashes[6] == hashes[8]) == (True, True)


def test_a_line_without_anything_of_its_own_says_nothing_more() -> None:
    line = Planner(Params(model="m", max_tokens=1, temperature=0.0)).request(0, dialogue()).line
    assert "request" not in json.loads(encode(line))
