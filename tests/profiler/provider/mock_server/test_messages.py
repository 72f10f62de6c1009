"""The Messages API without its transport."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from profiler.core.json import dumps
from profiler.provider.mock_server.messages import Messages
from profiler.provider.mock_server.settings import ApiError, ServerSettings
from tests.profiler.provider.mock_server.reading.asking import (
    BETA,
    HELLO,
    NEW,
    OLD,
    STRICT_SCHEMA,
    TOOL,
    body,
    exchange,
)

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.provider.mock_server.reading.requests import Version

FORMAT = {"format": {"type": "json_schema", "schema": STRICT_SCHEMA}}
FORCED: dict[str, Any] = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "get_weather"}}


def ask(
    server: Messages, *, at: float = 0.0, version: Version = NEW, named: str | None = None, **changes: Any
) -> dict[str, Any]:
    """One request that is answered."""
    question = server.read(dumps(body(**changes)), version=version, named=named)
    answer = server.answer(question, now=at)
    server.given(answer, now=at, begins_at=at)
    return answer.message


def said(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def test_a_forced_tool_is_called_and_the_answer_stops_for_it() -> None:
    message = ask(Messages(ServerSettings()), **FORCED)

    (call,) = message["content"]
    assert (call["type"], call["name"], message["stop_reason"]) == ("tool_use", "get_weather", "tool_use")
    jsonschema.validate(call["input"], TOOL["input_schema"])


def test_structured_output_fits_its_schema_and_varies_with_what_is_asked() -> None:
    messages = Messages(ServerSettings())
    texts = [said(ask(messages, messages=exchange(f"Question {n}"), output_config=FORMAT)) for n in range(20)]

    for text in texts:
        jsonschema.validate(json.loads(text), STRICT_SCHEMA)
    assert len(set(texts)) > 10


def test_structured_output_may_be_cut_off_by_max_tokens() -> None:
    message = ask(Messages(ServerSettings()), output_config=FORMAT, max_tokens=2)

    assert (message["stop_reason"], len(said(message))) == ("max_tokens", 8)
    with pytest.raises(json.JSONDecodeError):
        json.loads(said(message))


def test_warming_the_cache_says_nothing() -> None:
    message = ask(Messages(ServerSettings()), max_tokens=0, system=[
        {"type": "text", "text": "word " * 4000, "cache_control": {"type": "ephemeral"}}
    ])  # fmt: skip

    assert (message["content"], message["stop_reason"], message["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert message["usage"]["cache_creation_input_tokens"] > 4096


@pytest.mark.parametrize(
    ("model", "thinking", "begins"),
    [
        ("claude-haiku-4-5", None, "text"),
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 1024}, "The question is clear"),
        ("claude-opus-4-6", {"type": "adaptive"}, "The question is clear"),
        ("claude-opus-4-6", {"type": "adaptive", "display": "omitted"}, ""),
        ("claude-opus-5-5", None, ""),
        ("claude-opus-5-5", {"type": "adaptive", "display": "summarized"}, "The question is clear"),
        ("claude-opus-5", {"type": "disabled"}, "text"),
    ],
)
def test_an_answer_begins_with_thinking_as_the_model_and_the_request_have_it(
    model: str, thinking: dict[str, Any] | None, begins: str
) -> None:
    message = ask(Messages(ServerSettings()), model=model, thinking=thinking)

    first = message["content"][0]
    if begins == "text":
        assert first["type"] == "text"
        return
    assert (first["type"], bool(first["signature"])) == ("thinking", True)
    assert first["thinking"].startswith(begins)
    assert bool(first["thinking"]) == bool(begins)
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 0


def test_prepared_blocks_are_completed_and_given_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "responses.json"
    call = {"type": "tool_use", "name": "get_weather", "input": {"city": "Oslo"}}
    entries = {
        "first": {"when": {"text": "weather"}, "content": [{"type": "text", "text": "Let me look."}, call]},
        "then": {"when": {"tool_result": "rain"}, "completion": "Take an umbrella."},
    }
    path.write_text(json.dumps(entries))
    messages = Messages(ServerSettings(responses_path=path))
    asked = exchange("What is the weather?")
    first = ask(messages, messages=asked, tools=[TOOL])
    result = {"type": "tool_result", "tool_use_id": first["content"][1]["id"], "content": "rain"}
    whole = [*asked, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]

    assert first["stop_reason"] == "tool_use"
    assert (
        first["content"][1]
        == {"id": first["content"][1]["id"], "caller": {"type": "direct"}, "toolset_name": None} | call
    )
    assert said(ask(messages, messages=whole, tools=[TOOL])) == "Take an umbrella."


def test_the_same_question_always_gets_the_same_answer() -> None:
    messages = Messages(ServerSettings(output_tokens=50))

    assert ask(messages, tools=[TOOL]) == ask(messages, tools=[TOOL])
    assert ask(messages) == ask(Messages(ServerSettings(output_tokens=50)))


def test_with_variation_repeats_differ_and_another_server_repeats_them() -> None:
    settings = ServerSettings(vary=True, output_tokens=50)
    first, second = ([ask(messages) for _ in range(20)] for messages in (Messages(settings), Messages(settings)))

    assert first == second
    assert len({said(message) for message in first}) == 20
    assert len({message["id"] for message in first}) == 20
    assert said(first[0]) == said(ask(Messages(ServerSettings(output_tokens=50))))


def test_the_colder_the_fewer_repeats_differ() -> None:
    def distinct(temperature: float) -> int:
        messages = Messages(ServerSettings(vary=True, output_tokens=50))
        return len({said(ask(messages, version=OLD, temperature=temperature)) for _ in range(60)})

    assert distinct(0.0) == 1
    assert 10 < distinct(0.4) < 40
    assert distinct(1.0) == 60


def test_a_request_that_was_not_answered_leaves_no_trace() -> None:
    messages = Messages(ServerSettings(vary=True))
    question = messages.read(dumps(body(tools=[TOOL])), version=NEW)

    assert messages.answer(question, now=0.0) == messages.answer(question, now=0.0)


def test_lengths_are_spread_around_their_median_and_end_at_max_tokens() -> None:
    messages = Messages(ServerSettings(output_tokens=100, output_sigma=0.5))
    given = [ask(messages, messages=exchange(f"Question {n}?"), max_tokens=200) for n in range(300)]
    lengths = sorted(message["usage"]["output_tokens"] for message in given)

    assert 85 < lengths[150] < 115
    assert lengths[30] < 70
    assert lengths[-1] == 200
    assert {message["stop_reason"] for message in given if message["usage"]["output_tokens"] == 200} == {"max_tokens"}
    assert {len(said(message)) // 4 + 1 for message in given if message["stop_reason"] == "end_turn"} <= set(lengths)


def test_a_thread_goes_on_where_it_was() -> None:
    messages = Messages(ServerSettings())
    first = ask(messages, version=BETA, thread={"type": "create"}, messages=exchange("Remember the sea. " * 50))
    going_on = {"type": "continue", "previous_message_id": first["id"]}
    second = ask(messages, version=BETA, thread=going_on, messages=exchange("And now?"))

    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    with pytest.raises(ApiError) as caught:
        ask(messages, version=BETA, thread=going_on | {"previous_message_id": "msg_0"})
    assert (caught.value.status, caught.value.code) == (404, "thread_not_found")


def test_a_compaction_answers_with_its_block_alone() -> None:
    message = ask(Messages(ServerSettings()), version=BETA, compaction={"type": "summarize"})

    assert [block["type"] for block in message["content"]] == ["compaction"]
    assert message["stop_reason"] == "compaction"
    again = [{"role": "assistant", "content": message["content"]}, HELLO]
    assert ask(Messages(ServerSettings()), version=BETA, messages=again)["stop_reason"] == "end_turn"


def test_the_diagnosis_stands_in_the_answer_where_it_was_asked_for() -> None:
    messages = Messages(ServerSettings())
    first = ask(messages, diagnostics={"previous_message_id": None})
    asked = {"previous_message_id": first["id"]}
    second = ask(messages, diagnostics=asked, system="Changed.")

    assert first["diagnostics"] is None
    assert second["diagnostics"]["cache_miss_reason"]["type"] == "system_changed"


def test_an_item_of_a_batch_is_answered_like_a_request_of_its_own() -> None:
    messages = Messages(ServerSettings())
    question = messages.read_params(body(), version=BETA)

    assert said(messages.answer(question, now=0.0).message) == said(ask(messages))


@pytest.mark.parametrize("beta", [False, True])
def test_every_key_that_a_strict_decoder_wants_is_there(beta: bool) -> None:
    message = ask(Messages(ServerSettings()), version=BETA if beta else NEW)

    assert {"container", "diagnostics", "stop_details", "stop_sequence"} <= set(message)
    # clients ask for a beta message without saying so when they use no beta, and their types require these all the same
    assert "context_management" in message
    assert {"iterations", "fallback_credit"} <= set(message["usage"])


def test_a_sequence_goes_on_with_each_answer(tmp_path: Path) -> None:
    path = tmp_path / "responses.json"
    path.write_text(json.dumps({"Hello": {"sequence": [{"completion": "first"}, {"completion": "second"}]}}))
    messages = Messages(ServerSettings(responses_path=path))

    assert [said(ask(messages)) for _ in range(3)] == ["first", "second", "second"]
    messages.reset()
    assert said(ask(messages)) == "first"


def test_the_same_bytes_are_another_question_under_another_name_or_version() -> None:
    messages, sent = Messages(ServerSettings()), dumps(body(thread={"type": "create"}))
    names = [messages.read(dumps(body()), version=NEW, named=name).name for name in ("a", "b", "a")]

    assert names == ["a", "b", "a"]
    assert messages.read(sent, version=BETA).asked.wanted.thread == {"type": "create"}
    with pytest.raises(ApiError, match="thread: Extra inputs"):
        messages.read(sent, version=NEW)


def test_a_prepared_refusal_says_why(tmp_path: Path) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    path = tmp_path / "responses.json"
    entry = {"completion": "No.", "stop_reason": "refusal"}
    path.write_text(json.dumps({"a": entry | {"stop_details": details}, "b": entry}))
    messages = Messages(ServerSettings(responses_path=path))
    told = [ask(messages, named=name)["stop_details"] for name in ("a", "b")]

    assert told == [details, {"type": "refusal", "category": "general_harms", "explanation": None}]
