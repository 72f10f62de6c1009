"""Blocks that the API would refuse are found, each at its place; those that it takes are left alone."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from profiler.core.content_blocks import LIMITS, block_faults


def png(width: int = 64, height: int = 48, *, filler: int = 0) -> str:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0\0"
    return b64encode(header + bytes(filler)).decode()


def image(data: str, media_type: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def faults(*blocks: Any, role: str = "user", provider: str | None = None) -> list[str]:
    more = {} if provider is None else {"limits": LIMITS[provider]}
    found = block_faults([("user", "a text"), (role, list(blocks))], **more)
    return [f"{fault.place}: {fault.message}" + (f"; {fault.hint}" if fault.hint else "") for fault in found]


URL = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [image(png())]}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "?", "cache_control": {"type": "ephemeral"}},
        image(png()),
        image(png(8_000, 8_000)),
        URL,
        PDF,
        {"type": "document", "source": {"type": "file", "file_id": "f"}, "title": "t"},
        {"type": "document", "source": {"type": "content", "content": [image(png())]}},
        RESULT,
    ],
)
def test_blocks_that_the_api_takes_are_left_alone(block: dict[str, Any]) -> None:
    assert faults(block) == []


AT = "messages[1].content[0]"
KINDS = "'image/gif', 'image/jpeg', 'image/png' or 'image/webp'"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "imge"}, f"{AT}.type: found the unknown type 'imge' (a string); did you mean 'image'?"),
        ({"type": "text"}, f"{AT}: found no 'text', expected it"),
        ({"type": "text", "text": "?", "x": 1}, f"{AT}.x: found the key 'x', which the API does not know"),
        ("a text", f"{AT}: found 'a text' (a string), expected a mapping"),
        (
            image(png(), "image/bmp"),
            f"{AT}.source.media_type: found 'image/bmp' (a string), expected {KINDS}",
        ),
        (image(png(), "image/gif"), f"{AT}.source: found data of image/png, media_type says image/gif"),
        (
            image("data:image/png;base64," + png()),
            f"{AT}.source: found data that is not base64; leave out what stands before the comma",
        ),
        (image(png(8_001)), f"{AT}.source: found an image of 8001×48 pixels, the API takes at most 8000×8000"),
        (
            image(png(filler=8 << 20)),
            f"{AT}.source: found an image of 11,184,852 bytes in base64, this provider takes at most 10,485,760",
        ),
        (
            {**RESULT, "content": [image(png(9_000))]},
            f"{AT}.content[0].source: found an image of 9000×48 pixels, the API takes at most 8000×8000",
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "a.png"}},
            f"{AT}.source: found the address 'a.png' (a string), expected one that begins with https://",
        ),
    ],
)
def test_what_the_api_would_refuse_is_said_at_its_place(block: Any, said: str) -> None:
    assert said in faults(block)


def test_many_images_may_only_be_smaller() -> None:
    assert faults(*[image(png(2_001))] * 20) == []
    (_, *others) = faults(*[image(png(2_001))] * 21)
    assert others[-1].endswith(
        "2001×48 pixels, the API takes at most 2000×2000 where a request has more than 20 images"
    )
    assert faults(*[URL] * 601) == ["messages: found 601 images, the API takes at most 600 in a request"]


def test_a_request_may_not_be_larger_than_the_api_takes() -> None:
    assert faults(*[image(png(filler=7 << 20))] * 4) == [
        "messages: found images of 39,147,008 bytes, the API takes requests up to 33,554,432"
    ]


@pytest.mark.parametrize("provider", ["bedrock", "vertex"])
def test_platforms_take_less(provider: str) -> None:
    (by_url, heavy) = faults(URL, image(png(filler=4 << 20)), provider=provider)
    assert by_url.endswith("found an image by url, this provider takes base64 only")
    assert heavy.endswith("this provider takes at most 5,242,880")
