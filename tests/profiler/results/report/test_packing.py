"""Blocks of dialogues: nothing is lost, and nothing in them ends a script."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiler.results.report.packing import ESCAPE, as_characters

FORBIDDEN = {"\0", "\r", "<"}


def unescaped(text: str) -> bytes:
    """What the script does, in Python."""
    units = memoryview(text.encode("utf-16-le")).cast("H").tolist()
    found, at = bytearray(), 0
    while at < len(units):
        unit = units[at]
        if unit == ord(ESCAPE):
            at += 1
            unit = units[at]
            if unit < 0x100:
                unit -= 0x10
            elif unit < 0xE000:
                unit += 0xD700
        found += unit.to_bytes(2, "little")
        at += 1
    return bytes(found)


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([0, 13, 60, 0xE000, 0xD800, 0xDFFF, 0xDC00, 0x100])).map(
        lambda units: b"".join(unit.to_bytes(2, "little") for unit in units)
    )
)
def test_bytes_survive_as_characters(content: bytes) -> None:
    text = as_characters(content)

    assert unescaped(text)[: len(content)] == content
    assert not FORBIDDEN & set(text)
    text.encode("utf-16-le")  # no half character is left
