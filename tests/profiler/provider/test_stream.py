"""The lane that streams makes of every stream what the official SDK makes of it, and nothing of it is lost."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import CallError, ManifestError
from profiler.manifest.load import load_manifest
from profiler.manifest.measured import Slo
from profiler.provider.http import stream_connection
from profiler.provider.open import open_client
from tests.profiler.provider.asked_over import STREAMS, answered, asking, experiment, failed, request_for, stream_of
from tests.profiler.provider.loopback import KEY, MESSAGE, Say, http, serving

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.core.nouns import Reply
    from profiler.provider.open import Lane

START: dict[str, Any] = {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 12}}}
STOP: dict[str, Any] = {"type": "message_stop"}
ENDED: dict[str, Any] = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 3},
}
BUSY: dict[str, Any] = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


def began(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


TEXT = [began(0, type="text", text=""), delta(0, "text_delta", text="Par"), delta(0, "text_delta", text="is.")]
WHOLE = stream_of(START, *TEXT, ENDED, STOP).data
SHORT = len("\n\n")


def chunked(*told: dict[str, Any], end: bytes = b"0\r\n\r\n", line_end: str = "\n") -> bytes:
    """A stream in chunks, one for each event, as providers send it."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    written = [f"event: {each['type']}{line_end}data: {json.dumps(each)}{line_end}{line_end}".encode() for each in told]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in written) + end


def raw(*lines: str) -> Say:
    return http(200, "\n".join(lines).encode(), content_type="text/event-stream")


def line(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n"


ANSWERED = {
    "in chunks": Say(chunked(START, *TEXT, ENDED, STOP)),
    "with CRLF": Say(chunked(START, *TEXT, ENDED, STOP, line_end="\r\n")),
    "with CR": Say(chunked(START, *TEXT, ENDED, STOP, line_end="\r")),
    "cut off after its last event": Say(chunked(START, *TEXT, ENDED, STOP, end=b""), "close"),
    "an error after its last event": stream_of(START, *TEXT, ENDED, STOP, BUSY),
    "a second message": stream_of(START, *TEXT, ENDED, STOP, START, delta(0, "text_delta", text="No.")),
    "pings in between": stream_of(START, {"type": "ping"}, *TEXT, {"type": "ping"}, ENDED, STOP),
    "events of a new type": stream_of(START, {"type": "novelty", "index": 3}, *TEXT, ENDED, STOP),
    "an event of no type": raw("event: vendor\ndata: {}\n", *map(line, (START, *TEXT, ENDED, STOP)), ""),
    "an event without a name": raw('data: {"type":"error"}\n', *map(line, (START, *TEXT, ENDED, STOP)), ""),
    "deltas of a new kind": stream_of(START, *TEXT, delta(0, "novel_delta", novelty=1), ENDED, STOP),
    "empty deltas": stream_of(START, *TEXT, delta(0, "text_delta", text=""), ENDED, STOP),
    "no start of the block": stream_of(START, *TEXT[1:], ENDED, STOP),
    "comments": raw(": hello\n", *map(line, (START, *TEXT, ENDED, STOP)), ""),
    "something that is no event behind it": raw(
        *map(line, (START, *TEXT, ENDED, STOP)), "event: done\ndata: [DONE]\n", ""
    ),
}


@pytest.mark.parametrize("case", ANSWERED)
@pytest.mark.parametrize("lane", STREAMS)
async def test_a_stream_that_was_whole_is_answered(lane: Lane, case: str) -> None:
    async with serving(lambda _: ANSWERED[case]) as server:
        reply = await answered(lane, server)

    assert (reply.completion, reply.stop_reason, reply.usage, reply.request_id) == (
        "Paris.",
        "end_turn",
        {"input_tokens": 12, "output_tokens": 3},
        "req_1",
    )
    assert len(reply.gaps_s) == 1


FAILED = {
    "an error in the middle": stream_of(START, *TEXT, BUSY),
    "an error that then closes": Say(chunked(START, *TEXT, BUSY, end=b""), "close"),
    "a spend limit": stream_of(
        START,
        {
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "message": "m",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        },
    ),
    "cut off between events": Say(chunked(START, *TEXT, end=b""), "close"),
    "cut off within an event": Say(chunked(START, *TEXT, ENDED, STOP)[:-60], "close"),
    "reset": Say(chunked(START, *TEXT, end=b""), "reset"),
    "whole, but for its last event": stream_of(START, *TEXT, ENDED),
    "whole, but for the line behind its last event": http(200, WHOLE[WHOLE.index(b"event:") : -SHORT]),
    "nothing at all": http(200, b"", content_type="text/event-stream"),
    "only pings": stream_of({"type": "ping"}),
    "only the end": stream_of(STOP),
    "no JSON": raw(line(START), "event: content_block_delta\ndata: {\n", line(STOP), ""),
    "no object": raw(line(START), "event: content_block_delta\ndata: 5\n", line(STOP), ""),
    "a start without a message": stream_of({"type": "message_start"}, *TEXT, ENDED, STOP),
    "a message without a model": stream_of(
        {"type": "message_start", "message": {"type": "message", "content": []}}, *TEXT, ENDED, STOP
    ),
    "a page": http(200, b"<html>log in</html>", content_type="text/html"),
}


@pytest.mark.parametrize("case", FAILED)
async def test_a_stream_that_failed_is_the_failure_that_the_sdk_makes_of_it(case: str) -> None:
    async with serving(lambda _: FAILED[case]) as server:
        ours, theirs = [await failed(lane, server) for lane in STREAMS]

    assert facts(ours) == facts(theirs)


def facts(failure: CallError) -> tuple[Any, ...]:
    return failure.kind, failure.retryable, failure.fatal, failure.status, failure.request_id, failure.sent


THINKING = [
    *(began(0, type="thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="Some")),
    *(delta(0, "thinking_delta", thinking="body"), delta(0, "signature_delta", signature="sig")),
]
CALL = [
    began(2, type="tool_use", id="t1", name="look_up", input={}),
    *(delta(2, "input_json_delta", partial_json=part) for part in ("", '{"city": "Os', 'lo", "n": [1]}')),
]


async def both(*told: dict[str, Any]) -> list[Reply]:
    async with serving(lambda _: stream_of(*told)) as server:
        return [await answered(lane, server) for lane in STREAMS]


async def test_thoughts_and_calls_are_put_together_from_their_parts() -> None:
    text = [began(1, type="text", text=""), delta(1, "text_delta", text="Let me look.")]
    ended = {**ENDED, "delta": {"stop_reason": "tool_use", "stop_sequence": None}}
    for reply in await both(START, *THINKING, *text, *CALL, ended, STOP):
        assert (reply.completion, reply.stop_reason, len(reply.gaps_s)) == ("Let me look.", "tool_use", 4)
        assert reply.content == [
            {"type": "thinking", "thinking": "Somebody", "signature": "sig"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"city": "Oslo", "n": [1]}},
        ]


async def test_a_text_that_a_block_begins_with_is_its_first_part() -> None:
    for block in (began(0, type="text", text="Par"), began(0, type="thinking", thinking="Hm", signature="")):
        for reply in await both(START, block, ENDED, STOP):
            assert reply.ttft_s is not None
            assert reply.gaps_s == ()
        for reply in await both(START, block, began(1, type="text", text="is."), ENDED, STOP):
            assert len(reply.gaps_s) == 1
    for reply in await both(START, *TEXT[:1], ENDED, STOP):
        assert reply.ttft_s is None


async def test_a_thought_that_a_block_begins_with_is_no_part_of_the_answer() -> None:
    thought = began(0, type="thinking", thinking="Hm", signature="")
    for reply in await both(START, thought, began(1, type="text", text="Paris."), ENDED, STOP):
        assert (reply.completion, reply.writing_s) == ("Paris.", 0.0)


async def test_a_call_that_is_cut_off_keeps_what_was_written() -> None:
    ended = {**ENDED, "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}
    for reply in await both(START, *CALL[:3], ended, STOP):
        assert reply.content is not None
        assert reply.content[0]["input"] == {"partial_json": '{"city": "Os'}


async def test_counts_of_the_usage_are_cumulative_and_what_only_came_first_stays() -> None:
    more = {**ENDED, "usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}}
    for reply in await both(START, *TEXT, ENDED, more, STOP):
        assert reply.usage == {"input_tokens": 12, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}


async def test_half_a_character_does_not_lose_the_answer() -> None:
    for reply in await both(START, TEXT[0], delta(0, "text_delta", text="Par\ud83d"), ENDED, STOP):
        assert reply.completion == "Par\ufffd"


@pytest.mark.parametrize(
    ("last", "kind"), [([ENDED, STOP], None), ([BUSY], "overloaded")], ids=["after its end", "after an error"]
)
async def test_a_stream_is_not_waited_for_when_it_has_nothing_more_to_say(
    last: list[dict[str, Any]], kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "GRACE_S", 0.01)
    async with serving(lambda _: Say(chunked(START, *TEXT, *last, end=b""))) as server:
        if kind is None:
            assert (await answered("stream", server)).completion == "Paris."
        else:
            assert (await failed("stream", server)).kind == kind
        await server.until(lambda: server.open == 0)


async def test_a_manifest_may_ask_for_streams_and_the_command_line_for_another_lane() -> None:
    async with serving(lambda _: ANSWERED["in chunks"]) as server:
        for lane in (None, "sdk"):
            asked = experiment(server.url, stream=True)
            async with open_client(asked, mode="live", lane=lane, environ={"ANTHROPIC_API_KEY": KEY}) as client:
                with suppress(CallError):  # a stream is no message to the lane that does not stream
                    await client.complete(request_for(asked))

        assert [json.loads(each.body).get("stream") for each in server.asked] == [True, None]


@pytest.mark.parametrize(
    "asked",
    [
        {"metrics": ("ttft_s",)},
        {"slo": Slo(ttft_s=1)},
        {"slo": Slo(gap_p95_s=1)},
        {"thresholds": {"tokens_per_s.p50": 20.0}},
    ],
)
@pytest.mark.parametrize("lane", [None, "fast", "sdk"])
async def test_what_only_streams_can_tell_is_refused_before_a_run_that_does_not_stream(
    asked: dict[str, Any], lane: Lane | None
) -> None:
    wanted, environ = experiment("http://127.0.0.1:1", **asked), {"ANTHROPIC_API_KEY": KEY}
    with pytest.raises(ManifestError, match="measured only where answers are streamed") as caught:
        async with open_client(wanted, mode="live", lane=lane, environ=environ):
            pass

    assert "hint: say stream: true in the manifest or --client stream" in str(caught.value)
    async with open_client(wanted, mode="live", lane="stream", environ=environ):
        pass
    async with open_client(wanted, mode="mock", environ={}):
        pass


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("metrics: [completion_rate, ttft_s]", "6:28"),
        ("slo:\n  latency_s: 9\n  gap_p95_s: 1", "8:14"),
        ("thresholds: {tokens_per_s.p50: 20}", "6:32"),
    ],
)
async def test_a_setting_that_needs_streams_is_named_with_its_place(written: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    (tmp_path / "d.json").write_text('[{"dialogue_id": "a", "user": "x"}]')
    path.write_text(f"experiment_id: e\nmodel: m\nmax_tokens: 9\n\ndataset_path: d.json\n{written}\n")
    (wanted,) = load_manifest(path).experiments
    with pytest.raises(ManifestError) as caught:
        async with open_client(wanted, mode="live", environ={"ANTHROPIC_API_KEY": KEY}):
            pass

    assert str(caught.value).startswith(f"{path}:{place}: found ")


async def test_the_connection_of_a_whole_stream_is_used_again() -> None:
    async with serving(lambda _: ANSWERED["in chunks"]) as server:
        async with asking("stream", server.url) as (client, request):
            for _ in range(3):
                await client.complete(request)

        assert server.accepted == 1


async def test_a_stream_that_came_compressed_unasked_is_read() -> None:
    packed = gzip.compress(WHOLE[WHOLE.index(b"event:") :])
    async with serving(lambda _: http(200, packed, content_encoding="gzip")) as server:
        assert (await answered("stream", server)).completion == "Paris."
