"""`parcel`: what one side packs the other side reads, and nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_kit.leakage_modeling.worker.parcel import BadParcel, pack, unpack


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "blobs"), st.integers()), st.lists(st.binary()))
def test_what_is_packed_comes_out_again(header: dict[str, int], blobs: list[bytes]) -> None:
    found, rest = unpack(pack(header, blobs))

    assert found == header
    assert [bytes(blob) for blob in rest] == blobs


def framed(header: bytes, rest: bytes = b"") -> bytes:
    return len(header).to_bytes(4, "big") + header + rest


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff{}",
        framed(b"nonsense"),
        framed(b"[]"),
        framed(b'{"id": 1}'),
        framed(b'{"blobs": [1]}'),
        framed(b'{"blobs": []}', b"more"),
        framed(b'{"blobs": [-1, 1]}'),
        framed(b'{"blobs": [true]}', b"x"),
        framed(b'{"blobs": [], "a": 1, "a": 2}'),
        framed(b'{"blobs": [], "a": NaN}'),
        framed(b'{"blobs": [], "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
)
def test_anything_else_is_refused(message: bytes) -> None:
    with pytest.raises(BadParcel):
        unpack(message)


@given(st.binary(max_size=64))
def test_no_bytes_break_the_reader(message: bytes) -> None:
    try:
        unpack(message)
    except BadParcel:
        return
    assert len(message) >= 4
