"""Server-sent events: the pieces in which a stream came, as events with their names, data and times.

Whole pieces are read when the stream has ended: reading each as it comes would cost more than all the rest, and when a
piece came is known anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def events(pieces: Sequence[bytes], times: Sequence[float]) -> Iterator[tuple[bytes, bytes, float]]:
    """The name of each event (empty if it has none), its data, and the time of the piece that ended it.

    What follows the last empty line is no event, as the standard says.
    """
    body = b"".join(pieces)
    if b"\r" in body:
        pieces = _plain_line_ends(pieces)
        body = b"".join(pieces)
    blocks = body.split(b"\n\n")
    blocks.pop()
    place, end = 0, 0
    reached = len(pieces[0]) if pieces else 0
    for block in blocks:
        end += len(block) + 2
        while reached < end:
            place += 1
            reached += len(pieces[place])
        head, found, data = block.partition(b"\ndata: ")
        if found and head.startswith(b"event: ") and b"\n" not in data and b"\n" not in head:
            yield head[7:], data, times[place]
        else:
            yield *_fields(block), times[place]


def _fields(block: bytes) -> tuple[bytes, bytes]:
    """An event that is written in another way than usual: several lines of data, comments, no spaces."""
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value
        elif field == b"data":
            data.append(value)
    return name, b"\n".join(data)


def _plain_line_ends(pieces: Sequence[bytes]) -> list[bytes]:
    """The same pieces with every line end as a line feed; a pair of CR and LF may be cut in two by them."""
    plain, after_return = [], False
    for piece in pieces:
        rest = piece.removeprefix(b"\n") if after_return else piece
        after_return = piece.endswith(b"\r") if piece else after_return
        plain.append(rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    return plain
