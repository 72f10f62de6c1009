"""The few steps that plain chat takes, and the many of everything else, lead to the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from profiler.core.json import dumps
from profiler.provider.mock_server.admission.admission import FaultSpec, LimitSpec
from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.plain_chat import PlainChat
from profiler.provider.mock_server.reading.models import Models
from profiler.provider.mock_server.settings import LimitRule, ServerSettings
from profiler.provider.mock_server.wire.request_parser import Parser, parse_head
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS, post
from tests.profiler.provider.mock_server.reading.asking import body, exchange

HEAD = parse_head(post().partition(b"\r\n\r\n")[0])
LONG_WAY = {"concurrency_limit": 1000}  # refuses nobody here, and is reason enough for a closer look

texts = st.one_of(st.text(max_size=40), st.sampled_from(["", " ", "\n", '"%b" %d \\', "é\u2028\x00", "x" * 900]))
bodies = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            ["claude-haiku-4-5", "claude-opus-4-8", "claude-opus-5", "claude-nobody", "claude-own"]
        ),
        "max_tokens": st.sampled_from([-1, 0, 1, 12, 300, 64_000, 128_000, 10**9, 1.5]),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "user", "assistant", "system"]), "content": texts}),
            max_size=4,
        ),
    },
    optional={
        "system": texts,
        "stream": st.booleans(),
        "stop_sequences": st.lists(st.sampled_from(["asked", "x", " "]), max_size=2),
        "metadata": st.just({"user_id": "u"}),
        "temperature": st.just(1.0),
        "extra": st.none(),
    },
)


def told(app: App, sent: bytes) -> list[Any]:
    """The reply to a request, and what the server remembers of it afterwards."""
    parser = Parser()
    parser.feed(sent)
    request = parser.take()
    assert request is not None
    outgoing = app.respond(request)
    pieces = list(outgoing.pieces)
    app.finish(outgoing, whole=True)
    return [pieces, outgoing.end, outgoing.status, app.snapshot(asked=True), list(app.journal.lines({}))]


def app(**changes: Any) -> App:
    settings = msgspec.structs.replace(ServerSettings(models=("claude-own",), latency_s=0.5), **changes)
    return App(settings, clock=lambda: 5.0, wall=lambda: 1.8e9)


@given(asked=bodies, named=st.booleans(), beta=st.booleans())
@example(asked=body(messages=exchange("Hello")), named=False, beta=False)
@example(asked=body(messages=exchange("A", "B", "C"), system="Be brief."), named=False, beta=True)
def test_both_ways_give_the_same_reply_and_remember_the_same(asked: dict[str, Any], named: bool, beta: bool) -> None:
    headers = HEADERS | ({"x-dialogue-id": "d"} if named else {}) | ({"anthropic-beta": "x"} if beta else {})
    sent = post(msgspec.json.encode(asked), headers=headers)
    short, long = app(), app(**LONG_WAY)

    for _ in range(2):  # the second time some of it is known already
        assert told(short, sent) == told(long, sent)


def test_plain_chat_takes_the_short_way_wherever_nothing_can_happen_to_it() -> None:
    chat = PlainChat(ServerSettings(), Models())

    assert chat.answer(dumps(ASKED)) is not None
    assert chat.answer(dumps(body(messages=exchange("A", "B", "C"), system="Be brief.", stream=False))) is not None
    refused = [n for n in range(400) if chat.answer(dumps(body(messages=exchange(f"Question {n}")))) is None]
    assert 0 < len(refused) < 20  # one in a hundred is refused, and that has a form of its own


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {name: 1}
            for name in ("vary", "output_tokens", "latency_sigma", "stall_rate", "ttft_s", "tokens_per_second")
        ),
        *({name: 1} for name in ("input_tokens_per_second", "jitter", "stream_stall_rate", "requests_per_minute")),
        *({name: 1} for name in ("input_tokens_per_minute", "output_tokens_per_minute", "concurrency_limit")),
        {"faults": {"500": 0.5}},
        {"script": ["ok"]},
        {"limits": [LimitRule(requests_per_minute=1)]},
        {"cors": ["http://localhost"]},
        {"gzip": True},
        {"key": "another"},
    ],
)
def test_what_changes_answers_or_times_or_heads_leads_the_long_way(changes: dict[str, Any]) -> None:
    server = app(**changes)

    assert not (server.admission.open and server._looks_simple(HEAD))
    assert app()._looks_simple(HEAD)


def test_what_is_changed_while_it_runs_leads_the_long_way() -> None:
    server = app()
    server.admission.set_faults(FaultSpec(rates={"500": 1.0}))

    assert told(server, post())[2] == 500
    server.admission.set_faults(FaultSpec())
    assert told(server, post())[2] == 200
    server.admission.set_limits(LimitSpec(rules=[LimitRule(requests_per_minute=1)]))
    assert [told(server, post())[2] for _ in range(2)] == [200, 429]
