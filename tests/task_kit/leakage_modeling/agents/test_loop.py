"""`loop`: every call is answered, steps and tokens are limited, and nothing a model says crashes an episode."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import CallError
from profiler.core.json import loads
from profiler.core.nouns import Reply
from profiler.engine.calls.asker import Answered
from task_kit.leakage_modeling.agents.loop import Ending, Episode, Rules
from task_kit.leakage_modeling.agents.tools import Result, schemas
from task_kit.leakage_modeling.agents.transcript import Story, Transcript, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from profiler.core.nouns import Request
    from task_kit.leakage_modeling.agents.content import Call

Block = dict[str, Any]


class FakeTools:
    """Answers every call with its input, `long` with as much as it may; `submit_answer` submits."""

    def __init__(self) -> None:
        self.offered = schemas(stdout_chars=8000)
        self.done = False
        self.called: list[tuple[str, object]] = []
        self.rooms: list[int] = []

    async def step(self, calls: Sequence[Call], *, cut_off: Call | None, most_bytes: int, told: str) -> list[Result]:
        self.rooms.append(most_bytes)
        return [
            Result(text=told, is_error=True) if call is cut_off else self.call(call, most_bytes // len(calls))
            for call in calls
        ]

    def call(self, call: Call, room: int) -> Result:
        self.called.append((call.asked_for, call.given))
        self.done = self.done or call.asked_for == "submit_answer"
        text = "x" * max(room, 0) if call.asked_for == "long" else f"{call.asked_for} said {call.given}"
        return Result(text=text, is_error=call.asked_for == "broken")


class FakeAsker:
    """Says one thing after the other, the last one again; what it was sent stays."""

    def __init__(self, *said: Reply | CallError) -> None:
        self.said = list(said)
        self.sent: list[dict[str, Any]] = []

    async def ask(self, request: Request) -> Answered:
        self.sent.append(loads(request.body))
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, CallError):
            raise said
        return Answered(said, attempts=1, latency_s=0.5, cost=1_000)


def use(name: str, given: object = None, *, number: int = 0) -> Block:
    return {
        "type": "tool_use",
        "id": f"t{number}-{name}",
        "name": name,
        "input": {"n": number} if given is None else given,
    }


def says(*blocks: Block, stop_reason: str = "tool_use", text: str = "") -> Reply:
    content = list(blocks) if any(block["type"] == "tool_use" for block in blocks) else None
    usage = {"input_tokens": 10, "output_tokens": 5}
    return Reply(completion=text, stop_reason=stop_reason, model="m", usage=usage, content=content)


SUBMIT = says(use("submit_answer"))


class Played:
    def __init__(self, ending: Ending, asker: FakeAsker, tools: FakeTools, story: Story) -> None:
        self.ending = ending
        self.sent = asker.sent
        self.called = tools.called
        self.rooms = tools.rooms
        self.story = story

    def told(self, step: int) -> list[Block]:
        """What the model was told before a step, counted from 0."""
        blocks: list[Block] = self.sent[step]["messages"][-1]["content"]
        return blocks


async def play(folder: Path, *said: Reply | CallError, steps: int = 5, context_tokens: int = 200_000) -> Played:
    tools = FakeTools()
    asker = FakeAsker(*said)
    with Transcript(folder / "t.jsonl", session_id="e", model="m") as transcript:
        episode = Episode(
            name="e",
            rules=Rules(model="m", max_steps=steps, max_tokens=77, context_tokens=context_tokens),
            prompt="Do it.",
            tools=tools,
            transcript=transcript,
        )
        ending = await episode.play(asker)
    return Played(ending, asker, tools, read(folder / "t.jsonl"))


def every_call_is_answered(messages: list[dict[str, Any]]) -> bool:
    """What the provider demands: results for all calls, at the beginning of the next message, and roles in turn."""
    for message, following in pairwise(messages):
        if message["role"] == following["role"]:
            return False
        asked = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        results = [block for block in following["content"] if block["type"] == "tool_result"]
        if asked != [block["tool_use_id"] for block in results] or following["content"][: len(results)] != results:
            return False
    return all(message["content"] for message in messages)


async def test_the_first_request_holds_the_prompt_the_tools_and_the_limit_of_tokens(tmp_path: Path) -> None:
    played = await play(tmp_path, SUBMIT)

    [body] = played.sent
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Do it."}]}]
    assert (body["model"], body["max_tokens"]) == ("m", 77)
    assert [tool["name"] for tool in body["tools"]] == ["python_expression", "submit_answer"]


async def test_a_submission_ends_the_episode(tmp_path: Path) -> None:
    played = await play(tmp_path, says(use("a")), SUBMIT, says(use("never")))

    assert (played.ending.how, played.ending.steps) == ("submitted", 2)
    assert (played.ending.input_tokens, played.ending.output_tokens, played.ending.cost) == (20, 10, 2_000)
    assert [name for name, _ in played.called] == ["a", "submit_answer"]


async def test_calls_at_once_are_done_in_order_and_all_answered(tmp_path: Path) -> None:
    calls = [use("a", number=1), use("broken", number=2), use("a", number=3)]

    played = await play(tmp_path, says(*calls), SUBMIT)

    assert [given for _, given in played.called[:3]] == [{"n": 1}, {"n": 2}, {"n": 3}]
    results = played.told(1)
    assert [(block["tool_use_id"], block["is_error"]) for block in results] == [
        ("t1-a", False),
        ("t2-broken", True),
        ("t3-a", False),
    ]
    assert every_call_is_answered(played.sent[1]["messages"])


async def test_the_blocks_of_a_reply_go_back_as_they_came(tmp_path: Path) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    reply = says(thought, {"type": "text", "text": "Look:"}, use("a"), text="Look:")

    played = await play(tmp_path, reply, SUBMIT)

    assert played.sent[1]["messages"][1] == {"role": "assistant", "content": reply.content}
    assert played.story.steps[1].reasoning_content == "hm"


async def test_a_call_that_was_cut_off_is_answered_and_not_run(tmp_path: Path) -> None:
    played = await play(tmp_path, says(use("a", number=1), use("a", {}, number=2), stop_reason="max_tokens"), SUBMIT)

    assert [given for _, given in played.called[:-1]] == [{"n": 1}]
    whole, cut = played.told(1)
    assert not whole["is_error"]
    assert cut["is_error"]
    assert "cut off at 77 tokens" in cut["content"]


@pytest.mark.parametrize("stop_reason", ["end_turn", "refusal", "max_tokens", "stop_sequence", "pause_turn"])
async def test_a_reply_without_a_call_is_nudged_and_costs_a_step(tmp_path: Path, stop_reason: str) -> None:
    played = await play(tmp_path, says(stop_reason=stop_reason, text="Well."), SUBMIT, steps=9)

    assert played.ending.steps == 2
    [nudge] = played.told(1)
    assert "submit_answer ends the episode" in nudge["text"]
    assert every_call_is_answered(played.sent[1]["messages"])


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_a_reply_of_nothing_leaves_a_conversation_that_can_be_sent(tmp_path: Path, text: str) -> None:
    played = await play(tmp_path, says(stop_reason="refusal", text=text), says(use("a")), SUBMIT, steps=9)

    assert [message["role"] for message in played.sent[1]["messages"]] == ["user"]
    assert every_call_is_answered(played.sent[2]["messages"])


async def test_who_never_submits_is_stopped_after_the_last_step(tmp_path: Path) -> None:
    played = await play(tmp_path, says(text="Thinking.", stop_reason="end_turn"), steps=6)

    assert (played.ending.how, played.ending.steps, len(played.sent)) == ("no_submission", 6, 6)
    assert "This is the last step" in played.told(5)[-1]["text"]
    assert "2 steps are left" in played.told(4)[-1]["text"]


async def test_a_failure_of_the_provider_ends_the_episode_without_blame(tmp_path: Path) -> None:
    played = await play(tmp_path, says(use("a")), CallError("overloaded", "busy"))

    assert (played.ending.how, played.ending.steps, played.ending.said) == ("provider", 1, "overloaded: busy")


async def test_a_full_context_ends_the_episode(tmp_path: Path) -> None:
    played = await play(tmp_path, says(text="so", stop_reason="model_context_window_exceeded"))

    assert (played.ending.how, len(played.sent)) == ("context_full", 1)


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (
            CallError("invalid_request", "prompt is too long: 200001 tokens > 200000 maximum", status=400),
            "context_full",
        ),
        (CallError("request_too_large", "no", status=413), "context_full"),
        (CallError("invalid_request", "messages.1: tool names must match a pattern", status=400), "bad_output"),
        (CallError("nested_too_deep", "found 90000 bytes", status=200), "bad_output"),
        (CallError("not_found", "no such model", status=404), "provider"),
    ],
)
async def test_a_request_that_the_model_filled_and_the_provider_refuses_is_the_models_own_failure(
    tmp_path: Path, error: CallError, how: str
) -> None:
    played = await play(tmp_path, says(use("a")), error)

    assert (played.ending.how, played.ending.steps) == (how, 1)


async def test_a_first_request_that_is_refused_is_nobodys_failure(tmp_path: Path) -> None:
    played = await play(tmp_path, CallError("invalid_request", "temperature: unknown", status=400))

    assert (played.ending.how, played.ending.steps) == ("provider", 0)


async def test_the_conversation_is_kept_within_the_context(tmp_path: Path) -> None:
    """What the provider counted, and at most a token for each byte that was added since, never passes it."""
    replies = [
        Reply(
            completion="",
            stop_reason="tool_use",
            model="m",
            usage={"input_tokens": used, "cache_read_input_tokens": 1000, "output_tokens": 77},
            content=[use("long", number=number)],
        )
        for number, used in enumerate((2_000, 13_000, 18_400))
    ]

    played = await play(tmp_path, *replies, context_tokens=20_000)

    assert (played.ending.how, played.ending.steps) == ("context_full", 3)
    assert played.rooms[0] == 16_000
    assert all(room + used + 1077 + 77 <= 20_000 for room, used in zip(played.rooms[1:], (13_000, 18_400), strict=True))


@pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence", "refusal"])
async def test_a_call_is_played_whatever_the_reply_says_of_its_end(tmp_path: Path, stop_reason: str) -> None:
    played = await play(tmp_path, says(use("a"), stop_reason=stop_reason), SUBMIT)

    assert [name for name, _ in played.called] == ["a", "submit_answer"]


@pytest.mark.parametrize("given", [None, "text", [1], 3, {"expression": None}])
async def test_an_input_of_any_form_is_answered_and_written_down(tmp_path: Path, given: object) -> None:
    played = await play(tmp_path, says({"type": "tool_use", "id": "t", "name": "a", "input": given}), SUBMIT)

    assert played.ending.how == "submitted"
    assert played.story.steps[1].tool_calls[0].function_name == "a"


async def test_the_transcript_holds_every_step_in_the_form_of_atif(tmp_path: Path) -> None:
    played = await play(tmp_path, says(use("a", number=1), use("a", number=2), text="Two."), SUBMIT)

    found = played.story.trajectory()
    assert found["schema_version"] == "ATIF-v1.4"
    assert [(step["step_id"], step["source"]) for step in found["steps"]] == [(1, "user"), (2, "agent"), (3, "agent")]
    step = found["steps"][1]
    assert step["message"] == "Two."
    assert [call["tool_call_id"] for call in step["tool_calls"]] == ["t1-a", "t2-a"]
    assert [one["source_call_id"] for one in step["observation"]["results"]] == ["t1-a", "t2-a"]
    assert step["metrics"] == {"prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 1e-9}
    assert found["final_metrics"]["total_prompt_tokens"] == 20
    assert "timestamp" not in step


async def test_a_transcript_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    played = await play(tmp_path, says(use("a")), SUBMIT)
    path = tmp_path / "t.jsonl"
    path.write_bytes(path.read_bytes()[:-20])

    story = read(path)

    assert len(story.steps) == len(played.story.steps) - 1
    assert story.result is None
