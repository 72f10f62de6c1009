"""What goes wrong with a reply on its way, at the endpoints that give no messages."""

from __future__ import annotations

import pytest

from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.settings import ServerSettings
from profiler.provider.mock_server.wire.request_parser import Parser
from tests.profiler.provider.mock_server.raw import post


@pytest.mark.parametrize(
    ("fault", "status", "end"),
    [
        ("ok", 200, "keep"),
        ("502", 502, "keep"),
        ("html", 200, "keep"),
        ("trickle", 200, "keep"),
        ("half-body", 0, "close"),
        ("half-reset", 0, "reset"),
        ("hang", 0, "hang"),
    ],
)
def test_a_fault_decides_how_a_reply_ends_and_which_status_counts(fault: str, status: int, end: str) -> None:
    app = App(ServerSettings(script=[{"endpoint": "models.list", "fault": fault, "delay_s": 3.0}]))
    parser = Parser()
    parser.feed(post(b"", path="/v1/models", method="GET"))
    request = parser.take()
    assert request is not None
    outgoing = app.respond(request)

    assert (outgoing.status, outgoing.end, outgoing.endpoint) == (status, end, "/v1/models")
    assert next(iter(outgoing.pieces))[0] == 3.0
    written = b"".join(piece for _, piece in outgoing.pieces)
    assert status == 0 or written.startswith(b"HTTP/1.1 %d " % status)
