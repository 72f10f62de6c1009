from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import CallError, ManifestError
from profiler.core.json import encode
from profiler.core.nouns import Dialogue, Message, Params, Reply, Request
from profiler.manifest.settings import Latency, MockSettings
from profiler.provider.mock import (
    FACT_FOUND,
    FAULTS,
    REFUSED_OTHERWISE,
    REFUSED_WHEN_EXPECTED,
    MockClient,
    PreparedAnswer,
    load_answers,
)
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue

MANY = 20_000


def request(item: Dialogue, *, params: Params = PARAMS, attempt: int = 1) -> Request:
    return msgspec.structs.replace(Planner(params).request(0, item), attempt=attempt)


async def asked(client: MockClient, item: Dialogue, **options: Any) -> Reply:
    return await client.complete(request(item, **options))


def repeated(client: MockClient, item: Dialogue, times: int) -> list[str]:
    planner = Planner(PARAMS, repeats=times)
    return [client.reply(each).completion for each in planner.plan([item])]


def answers(folder: Path, content: object) -> MockSettings:
    path = folder / "answers.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return MockSettings(responses_path=path)


def found_facts(reply: Reply, facts: tuple[str, ...]) -> tuple[bool, ...]:
    return tuple(fact in reply.completion for fact in facts)


async def test_the_same_request_gets_the_same_reply() -> None:
    item = dialogue(required_facts=("a fact", "another"))
    assert await asked(MockClient(MockSettings()), item) == await asked(MockClient(MockSettings()), item)


async def test_what_is_asked_before_changes_nothing() -> None:
    client = MockClient(MockSettings())
    other = Params(model="another", max_tokens=9)
    alone = await asked(MockClient(MockSettings()), dialogue(1))
    await asked(client, dialogue(0), params=other)
    assert await asked(client, dialogue(1)) == alone


async def test_answers_come_from_the_file(tmp_path: Path) -> None:
    settings = answers(
        tmp_path, {"d0": {"completion": "prepared", "stop_reason": "max_tokens", "metadata": {"type": "truncated"}}}
    )
    reply = await asked(MockClient(settings), dialogue(0))
    assert (reply.completion, reply.stop_reason, reply.metadata) == ("prepared", "max_tokens", {"type": "truncated"})
    assert (reply.model, reply.latency_s) == ("claude-haiku-4-5", 0.0)
    assert (await asked(MockClient(settings), dialogue(1))).completion == "You asked: question 1"


async def test_usage_is_that_of_the_file_or_grows_with_the_text(tmp_path: Path) -> None:
    client = MockClient(answers(tmp_path, {"d0": {"completion": "x", "usage": {"input_tokens": 77}}}))
    assert (await asked(client, dialogue(0))).usage == {"input_tokens": 77}
    short = await asked(client, dialogue(1, user="q"))
    long = await asked(client, dialogue(1, user="q" * 400))
    assert set(short.usage) == {"input_tokens", "output_tokens"}
    assert 95 <= long.usage["input_tokens"] - short.usage["input_tokens"] <= 105


async def test_each_turn_has_its_own_prepared_reply(tmp_path: Path) -> None:
    client = MockClient(answers(tmp_path, {"d0": {"completion": "last", "replies": ["one"]}}))
    planner = Planner(PARAMS)
    first = planner.request(0, dialogue(0, turns=("a", "b")))
    second = planner.next_turn(first, "one")
    assert second is not None
    assert [(await client.complete(each)).completion for each in (first, second)] == ["one", "last"]


async def test_content_that_is_no_text_is_echoed_in_words() -> None:
    item = dialogue(0, messages=(Message(role="user", content=[{"type": "image"}]),))
    assert (await asked(MockClient(MockSettings()), item)).completion == "You asked: the content given"


async def test_an_invented_answer_is_cut_at_max_tokens() -> None:
    reply = await asked(MockClient(MockSettings()), dialogue(user="q" * 100), params=Params(model="m", max_tokens=5))
    assert (len(reply.completion), reply.stop_reason) == (20, "max_tokens")


# --- what is invented, over many dialogues ------------------------------------------------------------------------


async def many(*, model: str = "m", seed: int = 0, name: str = "user_{}", **fields: Any) -> list[Reply]:
    client, planner = MockClient(MockSettings(seed=seed)), Planner(Params(model=model, max_tokens=200))
    items = (dialogue(index, dialogue_id=name.format(index), **fields) for index in range(MANY))
    return [await client.complete(planned) for planned in planner.plan(items)]


FACTS = ("first fact", "second fact", "third fact")


@pytest.mark.parametrize("name", ["user_{}", "d{:07}"])
async def test_facts_are_found_about_as_often_as_said_and_one_tells_nothing_of_the_next(name: str) -> None:
    replies = [reply for reply in await many(name=name, required_facts=FACTS) if reply.stop_reason == "end_turn"]
    found = [found_facts(reply, FACTS) for reply in replies]
    for place in range(3):
        assert statistics.mean(each[place] for each in found) == pytest.approx(FACT_FOUND, abs=0.02)
    assert statistics.mean(all(each) for each in found) == pytest.approx(FACT_FOUND**3, abs=0.03)
    assert statistics.mean(not any(each) for each in found) == pytest.approx((1 - FACT_FOUND) ** 3, abs=0.01)


@pytest.mark.parametrize(("expected", "share"), [(True, REFUSED_WHEN_EXPECTED), (None, REFUSED_OTHERWISE)])
async def test_refusals_come_about_as_often_as_said(expected: bool | None, share: float) -> None:
    replies = await many(expect_refusal=expected)
    refused = statistics.mean(reply.stop_reason == "refusal" for reply in replies)
    assert refused == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("other", [{"model": "n"}, {"seed": 1}])
async def test_another_model_and_another_seed_answer_differently(other: dict[str, Any]) -> None:
    one = [found_facts(reply, FACTS) for reply in await many(required_facts=FACTS)]
    two = [found_facts(reply, FACTS) for reply in await many(required_facts=FACTS, **other)]
    both = [(a[0], b[0]) for a, b in zip(one, two, strict=True)]
    assert statistics.mean(a and b for a, b in both) == pytest.approx(FACT_FOUND**2, abs=0.04)


# --- faults and latencies -----------------------------------------------------------------------------------------


async def kinds(client: MockClient, count: int, *, attempt: int = 1) -> list[str | None]:
    found: list[str | None] = []
    for index in range(count):
        try:
            await asked(client, dialogue(index), attempt=attempt)
            found.append(None)
        except CallError as error:
            found.append(error.kind)
    return found


async def test_faults_come_at_their_rates_and_are_drawn_anew_for_each_attempt() -> None:
    client = MockClient(MockSettings(faults={"overloaded": 0.2, "timeout": 0.1}))
    first = await kinds(client, 3000)
    assert first.count("overloaded") / 3000 == pytest.approx(0.2, abs=0.03)
    assert first.count("timeout") / 3000 == pytest.approx(0.1, abs=0.03)
    assert first == await kinds(client, 3000)
    second = await kinds(client, 3000, attempt=2)
    again = statistics.mean(b is not None for a, b in zip(first, second, strict=True) if a is not None)
    assert again == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("kind", FAULTS)
async def test_every_kind_of_fault_says_whether_it_passes(kind: Any) -> None:
    with pytest.raises(CallError, match=f"a {kind} fault asked for by the manifest") as caught:
        await asked(MockClient(MockSettings(faults={kind: 1.0})), dialogue())
    assert (caught.value.kind, caught.value.retryable) == (kind, kind != "invalid_request")
    assert not caught.value.fatal


async def test_latencies_spread_around_the_median_and_stalls_are_kept() -> None:
    client = MockClient(MockSettings(latency_s=Latency(median_s=0.5, sigma=1.0, stalls={"d1": 30.0})))
    drawn = [client._latency_of(request(dialogue(index))) for index in range(5000) if index != 1]
    assert statistics.median(drawn) == pytest.approx(0.5, rel=0.06)
    beyond = statistics.mean(latency > 0.5 * 2.718281828 for latency in drawn)  # one sigma
    assert beyond == pytest.approx(0.159, abs=0.02)
    assert client._latency_of(request(dialogue(1))) == 30.0


async def test_a_latency_without_spread_is_the_median_and_is_told() -> None:
    client = MockClient(MockSettings(latency_s=Latency(median_s=0.001, stalls={"d1": 0.002})))
    assert [(await asked(client, dialogue(index))).latency_s for index in (0, 1)] == [0.001, 0.002]
    assert (await asked(MockClient(MockSettings(latency_s=0.001)), dialogue())).latency_s == 0.001


# --- hostile files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 5000,
        b'{"a": "text"}',
        b'{"a": {}}',
        b'{"a": {"completion": 1}}',
        b'{"a": {"completion": "x", "unknown": 1}}',
        b'{"a": {"completion": "\\ud800"}}',
        b'{"a": {"completion": "x", "usage": ' + b'{"a":' * 5000,
    ],
)
def test_a_file_that_holds_no_answers_is_told_with_what_it_should_hold(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers.json"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"answers.json") as caught:
        MockClient(MockSettings(responses_path=path))
    assert "completion" in str(caught.value.problems[0].hint)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot read: No such file"):
        load_answers(tmp_path / "missing.json")


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: json.dumps({"a": text}).encode()))
def test_hostile_bytes_are_refused_or_can_be_written_again(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.json"
        path.write_bytes(content)
        try:
            found = load_answers(path)
        except ManifestError:
            return
        encode(found)


def test_answers_that_experiments_share_are_loaded_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text('{"d0": {"completion": "yes"}}')
    os.utime(path, (10**9, 10**9))  # just written, it might be written to again
    assert load_answers(path) is load_answers(path)
    path.write_text('{"d0": {"completion": "no"}}')
    assert load_answers(path) == {"d0": PreparedAnswer(completion="no")}


def test_a_list_of_prepared_answers_is_given_one_repeat_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text('{"d0": [{"completion": "a"}, {"completion": "b"}], "d1": {"completion": "c"}}')
    client = MockClient(MockSettings(responses_path=path))

    assert repeated(client, dialogue(0), 5) == ["a", "b", "a", "b", "a"]
    assert repeated(client, dialogue(1), 2) == ["c", "c"]
    assert client.reply(request(dialogue(0))).completion == "a"  # asked once


async def test_repeats_are_answered_and_delayed_each_by_a_draw_of_its_own() -> None:
    """Whether a repeat finds the fact says nothing about whether another one does."""
    client = MockClient(MockSettings(latency_s=Latency(median_s=1e-6, sigma=1.0)))
    items = [dialogue(number, required_facts=("Paris",)) for number in range(4_000)]
    found = [["Paris" in said for said in repeated(client, item, 3)] for item in items]

    assert [each[0] for each in found] == ["Paris" in client.reply(request(item)).completion for item in items]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert statistics.mean(each[one] for each in found) == pytest.approx(FACT_FOUND, abs=0.02)
        columns = [float(each[one]) for each in found], [float(each[other]) for each in found]
        assert abs(statistics.correlation(*columns)) < 0.06  # 4 standard errors
    waits = {(await client.complete(each)).latency_s for each in Planner(PARAMS, repeats=20).plan([dialogue(0)])}
    assert len(waits) > 2
