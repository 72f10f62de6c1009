from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.provider.mock_server.wire.reply_bytes import chunk, render
from profiler.provider.mock_server.wire.request_parser import MAX_HEAD, Incoming, Malformed, Parser

POST = b"POST /v1/messages HTTP/1.1\r\nhost: here\r\n"


def parse(data: bytes, *, max_body: int = 1000) -> list[Incoming]:
    return fed([data], max_body=max_body)


def fed(pieces: list[bytes], *, max_body: int = 1000) -> list[Incoming]:
    parser = Parser(max_body=max_body)
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.take()) is not None:
            found.append(request)
    return found


def refusal(data: bytes, **options: int) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse(data, **options)
    return caught.value


def test_a_request_is_taken_apart() -> None:
    (request,) = parse(b"POST /v1/messages?beta=true HTTP/1.1\r\nX-API-Key:  secret \r\nContent-Length: 2\r\n\r\n{}")

    head = request.head
    assert (head.method, head.path, head.query, head.headers["x-api-key"], request.body) == (
        *("POST", "/v1/messages", "beta=true", "secret"),
        b"{}",
    )


def test_a_whole_address_is_taken_as_its_path() -> None:
    (request,) = parse(b"GET http://api.invalid:80/v1/models?limit=1 HTTP/1.1\r\n\r\n")

    assert (request.head.path, request.head.query) == ("/v1/models", "limit=1")


def test_a_chunked_body_is_put_together() -> None:
    data = (
        POST
        + b"transfer-encoding: chunked\r\n\r\n5;name=value\r\nhello\r\nB\r\n, my friend\r\n0\r\nx-trailer: 1\r\n\r\n"
    )

    assert [request.body for request in parse(data)] == [b"hello, my friend"]


def test_line_breaks_before_a_request_are_passed_over() -> None:
    assert len(parse(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n")) == 2


@pytest.mark.parametrize(
    ("request_line", "connection", "kept"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"connection: Close\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"connection: keep-alive\r\n", True),
    ],
)
def test_a_connection_is_kept_as_the_client_wants(request_line: bytes, connection: bytes, kept: bool) -> None:
    (request,) = parse(request_line + b"\r\n" + connection + b"\r\n")

    assert request.head.keep_alive is kept


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nspace : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: \0\r\n\r\n", 400),
        (POST + b"content-length: -1\r\n\r\n", 400),
        (POST + b"content-length: +1\r\n\r\n", 400),
        (POST + "content-length: ２\r\n\r\n".encode(), 400),
        (POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (POST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n", 501),
        (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\n-1\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\n" + b"1" * 5000, 400),
        (POST + b"content-length: 1001\r\n\r\n", 413),
        (POST + b"transfer-encoding: chunked\r\n\r\n" + chunk(b"x" * 600) * 2, 413),
        (b"x" * (MAX_HEAD + 1), 431),
        (b"GET / HTTP/1.1\r\na: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    assert refusal(data).status == status


def test_the_same_length_twice_is_one_length() -> None:
    assert [request.body for request in parse(POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab")] == [b"ab"]


def test_waiting_to_be_told_to_go_on_is_said_once() -> None:
    parser = Parser()
    parser.feed(POST + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")

    assert parser.take() is None
    assert [parser.continue_due(), parser.continue_due()] == [True, False]


def test_nobody_waits_to_be_told_to_go_on_who_has_sent_all() -> None:
    parser = Parser()
    parser.feed(POST + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\nab")

    assert parser.take() is not None
    assert not parser.continue_due()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


bodies = st.lists(st.tuples(st.binary(max_size=80), st.booleans(), st.integers(1, 30)), min_size=1, max_size=4)


def written(body: bytes, *, chunked: bool, size: int) -> bytes:
    if not chunked:
        return POST + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    chunks = b"".join(chunk(body[start : start + size]) for start in range(0, len(body), size))
    return POST + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@given(bodies, st.lists(st.integers(0, 2000), max_size=30))
def test_it_does_not_matter_how_requests_are_split(bodies: list[tuple[bytes, bool, int]], cuts: list[int]) -> None:
    data = b"".join(written(body, chunked=chunked, size=size) for body, chunked, size in bodies)

    assert [request.body for request in fed(split(data, cuts))] == [body for body, _, _ in bodies]


fragments = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"POST /v1/messages HTTP/1.1", b"\r\n", b"\n", b"content-length: 3", b"abc", b": ", b"\0"),
        *(b"transfer-encoding: chunked", b"0", b"5", b"expect: 100-continue", b"\xff", b"content-length: 99999999999"),
    ]
)


@given(st.lists(st.one_of(st.binary(max_size=20), fragments), max_size=30))
def test_random_bytes_are_requests_or_refused_and_never_crash(pieces: list[bytes]) -> None:
    parser = Parser(max_body=1000)
    for piece in pieces:
        parser.feed(piece)
    with suppress(Malformed):  # anything else fails the test
        while (request := parser.take()) is not None:
            assert len(request.body) <= 1000


def test_a_reply_says_how_long_it_is() -> None:
    assert render(529, b"{}", fields=b"request-id: 1\r\n") == (
        b"HTTP/1.1 529 Overloaded\r\ncontent-type: application/json\r\nrequest-id: 1\r\ncontent-length: 2\r\n\r\n{}"
    )
