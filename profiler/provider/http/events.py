"""Server-sent events: the pieces in which a stream came, as events with their names, data and times.

Whole pieces are read when the stream has ended: reading each as it comes would cost more than all the rest, and when a
piece came is known anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"  # one at the start of a stream is to be ignored, as the standard says
DELTA: Final = b"event: content_block_delta\ndata: "


def events(pieces: Sequence[bytes], times: Sequence[float]) -> Iterator[tuple[bytes, bytes, float]]:
    """The name of each event (empty if it has none), its data, and the time of the piece that ended it.

    What follows the last empty line is no event, as the standard says.
    """
    if pieces and pieces[0].startswith(BYTE_ORDER_MARK):
        pieces = [pieces[0].removeprefix(BYTE_ORDER_MARK), *pieces[1:]]
    if b"\r" in b"".join(pieces):
        pieces = _plain_line_ends(pieces)
    begun: list[bytes] = []  # of an event that no piece has ended yet
    for piece, at in zip(pieces, times, strict=True):
        if not begun and piece.startswith(DELTA) and piece.endswith(b"\n\n") and piece.count(b"\n") == 3:
            yield b"content_block_delta", piece[len(DELTA) : -2], at  # nearly always a piece is one such event
            continue
        whole = piece
        if begun:
            cut = begun[-1][-1:] == b"\n" and piece[:1] == b"\n"  # the empty line itself may be cut in two
            if not cut and b"\n\n" not in piece:
                begun += [piece] if piece else []
                continue
            whole = b"".join((*begun, piece))
            begun.clear()
        *blocks, rest = whole.split(b"\n\n")
        if rest:
            begun.append(rest)
        for block in blocks:
            head, _, data = block.partition(b"\ndata: ")
            if data and head[:7] == b"event: " and b"\n" not in data and b"\n" not in head:
                yield head[7:], data, at
            else:
                yield *_fields(block), at


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
