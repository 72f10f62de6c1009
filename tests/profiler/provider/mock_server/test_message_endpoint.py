"""What happens to a message between its request and its bytes."""

from __future__ import annotations

import re

import pytest

from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.settings import ServerSettings
from profiler.provider.mock_server.wire.request_parser import Parser
from tests.profiler.provider.mock_server.raw import ASKED, post

MARKED = {"type": "text", "text": "word " * 5000, "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("stream", [False, True])
def test_the_cache_can_be_read_from_the_first_token_on_whether_or_not_it_is_streamed(
    stream: bool,
) -> None:
    app = App(ServerSettings(ttft_s=100.0, tokens_per_second=0.1))
    read = []
    for wait_s in (0, 99, 2):
        app.clock.advance(wait_s)
        read.append(tokens_read(app, post({**ASKED, "system": [MARKED], "stream": stream})))

    assert read[:2] == [0, 0]
    assert read[2] > 4096


def test_the_counters_keep_the_bill_of_the_cache_too() -> None:
    app = App(ServerSettings())
    read = [tokens_read(app, post({**ASKED, "system": [MARKED]})) for _ in range(3)]

    tokens = app.snapshot()["tokens"]
    assert tokens["cache_written"] == read[1]
    assert tokens["cache_read"] == sum(read)
    assert 0 < tokens["input"] < 100


def tokens_read(app: App, sent: bytes) -> int:
    parser = Parser()
    parser.feed(sent)
    request = parser.take()
    assert request is not None
    outgoing = app.respond(request)
    app.finish(outgoing, whole=True)
    written = b"".join(piece for _, piece in outgoing.pieces)
    return int(re.findall(rb'"cache_read_input_tokens":(\d+)', written)[0])
