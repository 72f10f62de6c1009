"""Whatever a provider sends with a 200, over every lane, for dialogues of one and of three turns: what was paid for is
kept, nothing is bought twice, and the run comes to its end.

In dialogues of three turns it is the first reply that is hostile.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from anyio.from_thread import start_blocking_portal

from profiler.cli.main import main
from tests.faults.live import live_run, live_site
from tests.faults.runs import COMPLETE, Ended, Site, whole_records
from tests.profiler.provider.loopback import MESSAGE, Say, http, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.profiler.provider.loopback import Asked

LANES = ("fast", "sdk", "stream", "sdk-stream")
TURNS = (1, 3)
COUNTED = {"input_tokens": 12, "output_tokens": 3}
QUICK = {"max_attempts": 3, "deadline_s": 60}


# What the SDK makes of a stream before anybody else sees it: the first turns counts that could be meant into whole numbers
# (12.0 and "12", even true), and bytes that it cannot read are an error, which is not worth a second try.
MEANT = {"sdk-stream": {"counted": True}}
UNREADABLE = {"sdk-stream": {"type": "error", "completion": None, "counted": False, "last": True}}
# Its HTTP library gives bytes that follow a reply to the next request of that connection; nothing here can see them.
NOT_OVER_THE_SDK = frozenset(
    {
        "bytes after the body",
        "a second reply after the first",
        "half a second reply after the first",
        "an interim reply after the first",
    }
)
NOT_ON = {"sdk": NOT_OVER_THE_SDK, "sdk-stream": NOT_OVER_THE_SDK | {"usage of true"}}


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Case(NamedTuple):
    """What the provider does, and what becomes of the dialogue."""

    message: Mapping[str, Any] = NOTHING
    body: Callable[[bytes], bytes] = bytes
    reply: Callable[[Say], Say] = lambda said: said
    type: str = "answer"
    completion: str | None = "Paris."
    counted: bool = True
    last: bool = False  # no further turn follows
    unlike: Mapping[str, dict[str, Any]] = NOTHING  # what differs by lane

    def on(self, lane: str) -> Case:
        return self._replace(**self.unlike.get(lane, {}))


def text(*words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": word} for word in words]}


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new)


def usage(*, meant: bool = False, **counts: Any) -> Case:
    return Case({"usage": {**COUNTED, **counts}}, counted=False, unlike=MEANT if meant else NOTHING)


def followed_by(more: bytes) -> Callable[[Say], Say]:
    return lambda said: Say(said.data + more)


def zipped(spelling: str) -> Callable[[Say], Say]:
    def zip_body(said: Say) -> Say:
        head, _, body = said.data.partition(b"\r\n\r\n")
        kind = b"text/event-stream" if b"event-stream" in head else b"application/json"
        return http(200, gzip.compress(body), content_encoding=spelling, content_type=kind.decode())

    return zip_body


TOOL = {"type": "tool_use", "id": "t", "name": "look_up", "input": {}}
OTHER = http(200, {**MESSAGE, **text("Rome.")}).data

CASES: dict[str, Case] = {
    "as it should be": Case(),
    "usage of -1": usage(input_tokens=-1),
    "usage of 12.0": usage(input_tokens=12.0, meant=True),
    "usage of true": usage(output_tokens=True),
    "usage of 10**18": usage(input_tokens=10**18),
    "usage of 10**40": usage(input_tokens=10**40),
    "usage of '3'": usage(output_tokens="3", meant=True),
    "usage of a list": usage(output_tokens=[1]),
    "negative cache": usage(cache_read_input_tokens=-5),
    "cache is a list": usage(cache_creation=[1]),
    "cache of '7'": usage(cache_creation={"ephemeral_5m_input_tokens": "7"}),
    "thinking of -1": usage(output_tokens_details={"thinking_tokens": -1}),
    "details are a text": usage(output_tokens_details="none"),
    "searches of 1.5": usage(server_tool_use={"web_search_requests": 1.5}),
    "usage is a list": Case({"usage": [12, 3]}, counted=False),
    "usage is a text": Case({"usage": "many"}, counted=False),
    "usage is null": Case({"usage": None}, counted=False),
    "infinite usage": Case(body=swap(b'"input_tokens": 12', b'"input_tokens": 1e999'), counted=False),
    "unknown kinds of usage": Case({"usage": {**COUNTED, "iterations": [{"type": "message"}], "speed": "standard"}}),
    "byte order mark": Case(body=lambda body: b"\xef\xbb\xbf" + body, unlike=UNREADABLE),
    "not utf-8": Case(
        body=swap(b"Paris.", b"P\xffris."),
        completion="P\ufffdris.",
        unlike=UNREADABLE,
    ),
    "half a character": Case(body=swap(b"Paris.", b"P\\ud800ris."), completion="P\ufffdris."),
    "stop details are a text": Case({"stop_details": "none"}),
    "bytes after the body": Case(reply=followed_by(b"\r\nand more\r\n\r\n")),
    "a second reply after the first": Case(reply=followed_by(OTHER)),
    "half a second reply after the first": Case(reply=followed_by(OTHER[:60])),
    "an interim reply after the first": Case(reply=followed_by(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
    "bytes after the message": Case(body=lambda body: body + b'\n\n{"type": "error"}'),
    "GZIP": Case(reply=zipped("GZIP")),
    "x-gzip": Case(reply=zipped("x-gzip"), unlike=UNREADABLE),
    "gzip among others": Case(reply=zipped("identity, Gzip")),
    "refusal": Case({"stop_reason": "refusal", **text()}, type="refusal", completion="", last=True),
    "refusal in words": Case(
        {"stop_reason": "refusal", **text("I can't help with that.")},
        type="refusal",
        completion="I can't help with that.",
        last=True,
    ),
    "nothing said": Case(text(), completion="", last=True),
    "an empty text": Case(text(""), completion="", last=True),
    "blanks only": Case(text(" \n"), completion=" \n", last=True),
    "tool call": Case({"content": [TOOL], "stop_reason": "tool_use"}, completion="", last=True),
    "tool call that ends the turn": Case(
        {"content": [*text("Let me look.")["content"], TOOL]}, completion="Let me look.", last=True
    ),
    "window full": Case({"stop_reason": "model_context_window_exceeded"}, type="truncated", last=True),
    "many texts": Case(text("Par", "is.")),
}


def said(lane: str, case: Case) -> Say:
    """The message of a case in the form that a lane reads."""
    message = {**MESSAGE, "usage": COUNTED, **case.message}
    if not lane.endswith("stream"):
        return case.reply(http(200, case.body(json.dumps(message).encode())))
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, "content": []}}]
    for index, block in enumerate(message["content"]):
        empty = {**block, "text": ""} if block["type"] == "text" else block
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        if block["type"] == "text":
            delta = {"type": "text_delta", "text": block["text"]}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ending = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    events += [{"type": "message_delta", "delta": ending, "usage": message["usage"]}, {"type": "message_stop"}]
    body = b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events)
    return case.reply(http(200, case.body(body), content_type="text/event-stream"))


class Tried(NamedTuple):
    site: Site
    run: Ended
    records: dict[str, dict[str, Any]]
    asked: Counter[str]

    def end_of(self, name: str) -> dict[str, Any]:
        record = self.records[name]
        return {
            "calls": self.asked[name],
            "type": record["type"],
            "said": record.get("replies") or record["completion"],
            "input_tokens": record["usage"] and record["usage"]["input_tokens"],
            "cost_usd": record["cost_usd"] and round(record["cost_usd"], 9),
        }


def expected(case: Case, *, turns: int) -> dict[str, Any]:
    calls = 1 if case.last else turns
    said: Any = [case.completion, *["Paris."] * (calls - 1)] if turns > 1 and case.type != "error" else case.completion
    return {
        "calls": calls,
        "type": case.type,
        "said": said,
        "input_tokens": 12 * calls if case.counted else None,
        "cost_usd": round(calls * (12 * 1 + 3 * 5) / 1e6, 9) if case.counted else None,
    }


def dialogue(name: str, *, turns: int) -> dict[str, Any]:
    question = f"Tell me about {name}."
    return {"dialogue_id": name, **({"user": question} if turns == 1 else {"turns": [question, "More.", "And more."]})}


def tried(folder: Path, *, lane: str, turns: int, cases: dict[str, Case]) -> Tried:
    """One run with a dialogue for each case, behind one that is answered as it should be."""
    asked: Counter[str] = Counter()

    def answer(call: Asked) -> Say:
        messages = json.loads(call.body)["messages"]
        name = messages[0]["content"].removeprefix("Tell me about ").removesuffix(".")
        asked[name] += 1
        assert all(message["content"] for message in messages), "an empty message was sent back"
        return said(lane, cases[name].on(lane) if len(messages) == 1 else Case())

    site = live_site(folder, [dialogue(name, turns=turns) for name in cases], concurrency=1, retry=QUICK)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(answer)) as server:
        site.environ["ANTHROPIC_BASE_URL"] = server.url
        run = live_run(site, "--client", lane)
    records = {record["dialogue_id"]: record for record in whole_records(site.responses)}
    return Tried(site, run, records, asked)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("lane", LANES)
def test_a_hostile_reply_ends_as_what_it_is_and_is_bought_once(lane: str, turns: int, tmp_path: Path) -> None:
    cases = {name: case for name, case in CASES.items() if name not in NOT_ON.get(lane, ())}
    found = tried(tmp_path, lane=lane, turns=turns, cases=cases)

    assert found.run.code == 0, found.run
    assert "Traceback" not in found.run.said
    assert set(found.site.results()) == COMPLETE
    assert {name: found.end_of(name) for name in cases} == {
        name: expected(case.on(lane), turns=turns) for name, case in cases.items()
    }
    assert found.run.err.count("the usage of such a reply is null and its cost unknown") == 1
    assert main(["summarize", "--log-dir", str(found.site.run_dir), "--recompute", "--json"]) == 0
