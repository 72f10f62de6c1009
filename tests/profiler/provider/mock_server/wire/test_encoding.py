"""Bodies that are compressed, on the way in and on the way out."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS, ask


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)])
async def test_a_compressed_body_is_read(coding: str, pack: Any) -> None:
    async with MockServer() as server:
        plain = await ask(server)
        answer = await ask(server, pack(json.dumps(ASKED).encode()), headers={**HEADERS, "content-encoding": coding})

    assert answer.json == plain.json


async def test_the_journal_holds_what_was_said_and_not_how_it_was_packed() -> None:
    secret = {**ASKED, "mcp_servers": [{"authorization_token": "hidden"}]}
    headers = {**HEADERS, "content-encoding": "gzip"}
    async with MockServer() as server:
        for body, further in ((ASKED, {}), (secret, {}), (ASKED, {"x-api-key": ""})):
            await ask(server, gzip.compress(json.dumps(body).encode()), headers=headers | further)
        read, refused, unread = server.requests()

        assert read["body"] == ASKED
        assert read["body_bytes"] == len(gzip.compress(json.dumps(ASKED).encode()))  # as it came
        assert refused["body"]["mcp_servers"] == [{"authorization_token": "[not kept]"}]
        assert (unread["status"], unread["body"]) == (401, None)
        assert len(server.requests(contains="salty", model="claude-haiku-*")) == 2


@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("br", b"x", 400, "request_body_encoding_unsupported"),
        ("gzip", b"x", 400, "request_body_encoding_invalid"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-3], 400, "request_body_encoding_invalid"),
        ("gzip", gzip.compress(b" " * 2_000_000, mtime=0), 413, "request_body_too_large_after_decoding"),
    ],
    ids=["unknown", "none", "torn", "bomb"],
)
async def test_what_cannot_be_unpacked_is_refused(coding: str, body: bytes, status: int, code: str) -> None:
    async with MockServer(ServerSettings(max_body=1_000_000)) as server:
        answer = await ask(server, body, headers={**HEADERS, "content-encoding": coding})

    assert (answer.status, answer.json["error"]["details"]) == (status, {"error_code": code})


async def test_replies_are_compressed_for_who_accepts_it() -> None:
    accepting = {**HEADERS, "accept-encoding": "gzip, br"}
    async with MockServer(ServerSettings(gzip=True)) as server:
        packed, plain = await ask(server, headers=accepting), await ask(server)
        streamed = await ask(server, {**ASKED, "stream": True}, headers=accepting)

    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in streamed.headers
