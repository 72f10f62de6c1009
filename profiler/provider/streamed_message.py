"""Puts the events of one stream together: to the message that they stand for, and to when its parts came.

Both lanes that stream use it, so the same events give the same reply.
"""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dump_leniently, dumps, load_leniently, loads
from profiler.provider.http.connection import lost
from profiler.provider.messages import NotAMessage, reply_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.core.nouns import Reply

# What `take` may raise for an event of another shape than the API's.
NO_EVENT = (ValueError, TypeError, LookupError, AttributeError)
# Kinds of deltas that add a text to their block: the field of the delta, which is also the one of the block.
GROWING = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}

BEGINNING = ("text", "thinking")  # kinds of blocks that may begin with a text, in the field of the same name


class StreamedMessage:
    """A message as far as its events have come. `begun` is when its request was sent, by `time.perf_counter`."""

    def __init__(self, *, begun: float) -> None:
        self._begun = begun
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._written: dict[tuple[int, str], list[str]] = {}  # texts by block and field
        self._texts: dict[int, list[str]] = {}  # those of text blocks, found more quickly
        self._times: list[float] = []  # of each part that the model wrote
        self._thoughts = 0  # how many of these are thoughts that came before the answer
        self.ended = False

    def add_text(self, index: int, text: str, *, at: float) -> None:
        """A text delta, of which most of a stream consists."""
        if text and not self.ended:
            self._times.append(at)
            if (texts := self._texts.get(index)) is None:
                texts = self._texts[index] = self._written.setdefault((index, "text"), [])
            texts.append(text)

    def take(self, event: dict[str, Any], *, at: float) -> None:
        """Any event. It raises one of `NO_EVENT` for one that has another shape."""
        if self.ended:  # a second reply must not replace the first
            return
        match event.get("type"):
            case "message_start":
                self._message = dict(event["message"])
            case "content_block_start":
                self._begin(_index_of(event), dict(event["content_block"]), at=at)
            case "content_block_delta":
                self._grow(_index_of(event), event["delta"], at=at)
            case "message_delta" if self._message is not None:
                self._message |= event["delta"]
                self._message["usage"] = _newest(self._message.get("usage"), event.get("usage"))
            case "message_stop":
                self.ended = True
            case _:  # pings, ends of blocks, and whatever is new
                pass

    def _begin(self, index: int, block: dict[str, Any], *, at: float) -> None:
        """A new block. It usually begins empty; where it has a text already, that is a part like any other."""
        self._blocks[index] = block
        kind = block.get("type")
        if kind in BEGINNING and block.get(kind):
            self._came(at, thought=kind == "thinking")

    def _came(self, at: float, *, thought: bool) -> None:
        """Note when a part of the message came."""
        if thought and self._thoughts == len(self._times):
            self._thoughts += 1
        self._times.append(at)

    def _grow(self, index: int, delta: dict[str, Any], *, at: float) -> None:
        kind = delta["type"]
        if (field := GROWING.get(kind)) is not None:
            if not isinstance(text := delta[field], str):
                raise TypeError(f"{field}: found {text!r:.40}, expected a text")
            if text:
                self._came(at, thought=kind == "thinking_delta")
                self._written.setdefault((index, field), []).append(text)
        elif kind == "signature_delta":
            self._blocks[index]["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block = self._blocks[index]
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]

    def reply(self, headers: Mapping[str, str]) -> Reply:
        """Raises `NotAMessage`, or the `CallError` of a stream that was cut off."""
        if self._message is None:
            raise NotAMessage("the stream held no message", legible=self.ended)
        if not self.ended:
            raise lost("the connection was closed in the middle of the reply")
        for (index, field), texts in self._written.items():
            _fill(self._blocks.setdefault(index, {"type": "text", "text": ""}), field, "".join(texts))
        content = [self._blocks[index] for index in sorted(self._blocks)]
        reply = reply_of(_encoded({**self._message, "content": content}), headers)
        if not (times := self._times):
            return reply
        answering = times[self._thoughts :]
        return msgspec.structs.replace(
            reply,
            ttft_s=times[0] - self._begun,
            gaps_s=tuple(map(sub, times[1:], times)),
            writing_s=answering[-1] - answering[0] if answering else None,
        )


def no_event(error: Exception) -> NotAMessage:
    """What is wrong with a stream in which one of `NO_EVENT` was raised."""
    return NotAMessage(f"in an event: {error}", legible=isinstance(error, UnicodeError))


def _index_of(event: dict[str, Any]) -> int:
    index = event["index"]
    if type(index) is not int:
        raise TypeError(f"index: found {index!r:.40}, expected a whole number")
    return index


def _fill(block: dict[str, Any], field: str, text: str) -> None:
    if field == "partial_json":
        block["input"] = _input_of(text)
    else:
        block[field] = block.get(field, "") + text


def _input_of(written: str) -> Any:
    """The input of a tool call. One that was cut off in the middle stays as it was written."""
    try:
        return loads(written)
    except ValueError:
        pass
    try:
        return load_leniently(written.encode("utf-8", "surrogatepass"))
    except ValueError:
        return {"partial_json": written}


def _encoded(message: dict[str, Any]) -> bytes:
    try:
        return dumps(message)
    except TypeError:  # half a character, or a number that JSON does not have
        return dump_leniently(message)


def _newest(before: object, now: object) -> object:
    """The usage so far. Counts are cumulative, so newer ones replace older ones.

    What is not an object is passed on as it is: `validate` judges it.
    """
    return {**before, **now} if isinstance(before, dict) and isinstance(now, dict) else now or before
