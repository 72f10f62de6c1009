"""How many tokens prompts are taken to have."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

import pytest

from profiler.core.image_size import image_size
from profiler.provider.mock_server.reading.token_counts import UNSEEN_IMAGE, image_tokens, pdf_tokens
from tests.profiler.provider.mock_server.reading.asking import HELLO, TOOL, count, exchange, read


def png(width: int, height: int, *, padding: int = 0) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", b"x" * padding) + part(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", 12) + b"\xff\xc0padding!"
    return b"\xff\xd8" + comment + b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + b"\x03" + b"x" * 20


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"x" * 20


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + size


def picture(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(data).decode()}
    return {"type": "image", "source": source}


@pytest.mark.parametrize("made", [png, jpeg, gif, webp])
def test_the_size_of_a_picture_is_read_from_its_head(made: Any) -> None:
    assert image_size(made(640, 480)) == (640, 480)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", png(0, 5), b"RIFF0000WEBPVP8?" + b"x" * 20]
)
def test_what_is_no_picture_has_no_size_and_costs_the_most(data: bytes) -> None:
    assert image_size(data) is None
    assert image_tokens(data) == UNSEEN_IMAGE


def test_a_picture_costs_its_pixels_and_a_large_one_is_made_smaller() -> None:
    assert image_tokens(png(750, 1000)) == 1000
    assert image_tokens(png(15680, 7840)) == image_tokens(png(1568, 784))


def test_a_picture_does_not_cost_its_bytes() -> None:
    small = read(messages=exchange([picture(png(300, 300))])).input_tokens
    large = read(messages=exchange([picture(png(300, 300, padding=1_000_000))])).input_tokens

    assert small == large
    assert 120 < small < 200


def test_a_picture_in_the_answer_of_a_tool_is_counted_alike() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [picture(png(300, 300, padding=1_000_000))]}

    assert 120 < read(messages=exchange("x", [call], [result])).input_tokens < 250


def test_a_document_costs_its_pages() -> None:
    pages = b"%PDF-1.4\n" + b"<< /Type /Page >>\n" * 3 + b"<< /Type /Pages >>\n"
    assert pdf_tokens(pages) == 3 * pdf_tokens(b"%PDF-1.4")

    source = {"type": "base64", "media_type": "application/pdf", "data": b64encode(pages + b"x" * 10**6).decode()}
    tokens = read(messages=exchange([{"type": "document", "source": source}])).input_tokens
    assert pdf_tokens(pages) < tokens < pdf_tokens(pages) + 100


def test_the_text_of_a_document_is_counted_as_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "word " * 400}

    assert 500 < read(messages=exchange([{"type": "document", "source": source}])).input_tokens < 550


def test_what_is_marked_for_the_cache_costs_nothing() -> None:
    block = {"type": "text", "text": "Hello"}
    marked = block | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

    assert read(messages=exchange([block])).input_tokens == read(messages=exchange([marked])).input_tokens


def test_what_is_counted_is_what_is_used() -> None:
    asked: dict[str, Any] = {"messages": exchange([picture(png(300, 300))]), "tools": [TOOL], "system": "Be brief."}

    assert count(**asked).input_tokens == read(**asked).input_tokens
    assert count(messages=[HELLO]).input_tokens == read(messages=[HELLO]).input_tokens
