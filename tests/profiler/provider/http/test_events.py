"""Server-sent events are read as the standard says, in whatever pieces they come."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from profiler.provider.http.events import events

USUAL = b'event: ping\ndata: {"type":"ping"}\n\n'


def read(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, data) for name, data, _ in events(pieces, [0.0] * len(pieces))]


@given(cuts=st.lists(st.integers(0, 200), max_size=8), line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_the_same_events_come_of_the_same_bytes_in_any_pieces(cuts: list[int], line_end: bytes) -> None:
    body = (USUAL + b"event: a\ndata: 1\n\ndata: 2\n\n: only a comment\n\nevent:b\ndata:3\ndata: 4\nid: 5\n\n").replace(
        b"\n", line_end
    )
    places = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]

    assert read(*pieces) == [
        (b"ping", b'{"type":"ping"}'),
        (b"a", b"1"),
        (b"", b"2"),
        (b"", b""),
        (b"b", b"3\n4"),
    ]


def test_an_event_without_the_empty_line_behind_it_is_none() -> None:
    assert read(USUAL, b"event: a\ndata: 1\n") == [(b"ping", b'{"type":"ping"}')]


def test_more_than_one_empty_line_makes_no_event_of_its_own() -> None:
    assert read(b"\nevent: a\ndata: 1\n\n\nevent: b\ndata: 2\n\n") == [(b"a", b"1"), (b"b", b"2")]


def test_no_pieces_are_no_events() -> None:
    assert read() == []


def test_an_event_has_the_time_of_the_piece_that_ends_it() -> None:
    pieces = [USUAL[:5], USUAL[5:], USUAL + USUAL[:-1], b"", b"\n"]

    assert [at for *_, at in events(pieces, [1.0, 2.0, 3.0, 4.0, 5.0])] == [2.0, 3.0, 5.0]
