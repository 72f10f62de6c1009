"""What is wrong with the content blocks of a conversation: blocks that the API does not know, and images it would refuse.

The limits are those of the documentation of late 2026. Where a provider beside the API takes less is in `LIMITS`.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from profiler.core.image_size import image_kind, image_size
from profiler.core.mismatch_words import in_words
from profiler.core.shapes import Mismatch, field_check, tags
from profiler.core.wording import found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_IMAGES = 600
MANY_IMAGES = 20  # with more than so many in a request, each may have only LONGEST_EDGE_OF_MANY pixels
LONGEST_EDGE, LONGEST_EDGE_OF_MANY = 8_000, 2_000
LARGEST_REQUEST = 32 << 20
MEASURED = 1 << 18  # characters of base64 that are decoded to find out how large a picture is


class Limits(NamedTuple):
    """What a provider accepts as an image: how many bytes of base64, and from which kinds of source."""

    image_bytes: int
    by_reference: bool = True  # by address, or by the id of a file


USUAL_LIMITS = Limits(image_bytes=10 << 20)
LIMITS = dict.fromkeys(("bedrock", "vertex"), Limits(image_bytes=5 << 20, by_reference=False))


class BlockFault(msgspec.Struct, frozen=True):
    """One thing that is wrong; `place` is that of the block within the dialogue, such as `messages[0].content[1]`."""

    place: str
    message: str
    hint: str | None = None


def block_faults(messages: Iterable[tuple[str, Any]], *, limits: Limits = USUAL_LIMITS) -> Iterator[BlockFault]:
    """Yield what is wrong with the blocks of `messages` (role and content of each). Plain texts are never wrong."""
    images: list[tuple[str, dict[str, Any]]] = []
    for number, (role, content) in enumerate(messages):
        if isinstance(content, list):
            place = f"messages[{number}].content"
            yield from _unknown(role, content, place)
            images += _images(content, place)
    if len(images) > MOST_IMAGES:
        yield BlockFault("messages", f"found {len(images)} images, the API takes at most {MOST_IMAGES} in a request")
    size = 0
    edge = LONGEST_EDGE if len(images) <= MANY_IMAGES else LONGEST_EDGE_OF_MANY
    for place, source in images:
        if isinstance(data := source.get("data"), str):
            size += len(data)
        yield from _refused_image(place, source, limits=limits, edge=edge)
    if size > LARGEST_REQUEST:
        yield BlockFault(
            "messages", f"found images of {size:,} bytes, the API takes requests up to {LARGEST_REQUEST:,}"
        )


def _unknown(role: str, content: list[Any], place: str) -> Iterator[BlockFault]:
    kind = "BetaAssistantMessageParam" if role == "assistant" else "BetaUserMessageParam"
    check = field_check(kind, "content")
    for number, block in enumerate(content):
        try:
            check([block])
        except Mismatch as mismatch:
            said = in_words([block], mismatch, known=tags(kind, "content"))
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in said.at[1:])
            yield BlockFault(f"{place}[{number}]{where}", said.message, said.hint)


def _images(content: list[Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sources of all images with their places, those in the results of tools and in documents too."""
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            continue
        here, source = f"{place}[{number}]", block.get("source")
        if block.get("type") == "image" and isinstance(source, dict):
            yield f"{here}.source", source
        for inner, where in ((block.get("content"), "content"), (_content_of(source), "source.content")):
            if isinstance(inner, list):
                yield from _images(inner, f"{here}.{where}")


def _content_of(source: Any) -> Any:
    return source.get("content") if isinstance(source, dict) else None


def _refused_image(place: str, source: dict[str, Any], *, limits: Limits, edge: int) -> Iterator[BlockFault]:
    if source.get("type") != "base64":
        if not limits.by_reference:
            yield BlockFault(place, f"found an image by {source.get('type')}, this provider takes base64 only")
        elif source.get("type") == "url" and not str(source.get("url")).startswith(("https://", "http://")):
            yield BlockFault(
                place, f"found the address {found(source.get('url'))}, expected one that begins with https://"
            )
        return
    data = source.get("data")
    if not isinstance(data, str):
        return  # reported already
    if len(data) > limits.image_bytes:
        message = f"found an image of {len(data):,} bytes in base64, this provider takes at most {limits.image_bytes:,}"
        yield BlockFault(place, message)
        return
    beginning = _decoded(data)
    if beginning is None:
        hint = "leave out what stands before the comma" if data.startswith("data:") else None
        yield BlockFault(place, "found data that is not base64", hint)
        return
    kind, size = image_kind(beginning), image_size(beginning)
    if kind is not None and kind != source.get("media_type"):
        yield BlockFault(place, f"found data of {kind}, media_type says {source.get('media_type')}")
    if size is not None and max(size) > edge:
        many = f" where a request has more than {MANY_IMAGES} images" if edge != LONGEST_EDGE else ""
        yield BlockFault(
            place, f"found an image of {size[0]}×{size[1]} pixels, the API takes at most {edge}×{edge}{many}"
        )


def _decoded(data: str) -> bytes | None:
    """The first bytes that the text stands for; None where it is not base64 to its end."""
    try:
        decoded = b64decode(data, validate=True)
    except (Base64Error, ValueError):
        return None
    return decoded[:MEASURED]
