"""Plain chat in few steps, as most traffic is: one decoder shows that a request is in order, and the answer is made of
prepared parts.

It answers only what surely breaks no rule and what nothing but the request decides on; all else goes the long way of
`messages`, so there is one set of rules and of errors. A test compares both ways byte by byte.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps
from profiler.core.nouns import Dialogue
from profiler.provider.inventing.fitting import tokens_of_text
from profiler.provider.mock import echo, made_up, salt_of
from profiler.provider.mock_server.answering.answers import USAGE, message_of, text_block
from profiler.provider.mock_server.reading.requests import decode_plain
from profiler.provider.mock_server.reading.token_counts import count_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.provider.mock_server.reading.models import Models
    from profiler.provider.mock_server.reading.requests import PlainSaid
    from profiler.provider.mock_server.settings import ServerSettings

# Values that stand for what differs from answer to answer; they need no escape in JSON, and occur nowhere else.
NAME, MODEL, TEXT = "name-of-the-message.....", "model-of-the-message", "text-of-the-message"
INPUT_TOKENS, OUTPUT_TOKENS = 1234567891, 1234567892


class PlainAnswer(msgspec.Struct, frozen=True, gc=False):
    """A message as it is sent, and what is counted of it."""

    body: bytes
    name: str  # under which the request is counted
    input_tokens: int
    output_tokens: int


class PlainChat:
    """Answers the requests that it understands."""

    def __init__(self, settings: ServerSettings, models: Models) -> None:
        self._models = models
        self._salt = lru_cache(256)(lambda model: salt_of(settings.seed, model=model, temperature=None))
        self._template = _template()
        self.possible = not (
            settings.vary or settings.output_tokens or settings.responses_path or settings.dataset_path
        )

    def answer(self, body: bytes) -> PlainAnswer | None:
        wanted = decode_plain(body)
        if wanted is None or wanted.stream or wanted.stop_sequences or (turn := _turn(wanted.messages)) is None:
            return None
        takes = self._models.known.get(wanted.model)
        if takes is None or takes.thinks or wanted.max_tokens > takes.max_output:
            return None
        asked = wanted.messages[-1].content
        said, stop_reason = made_up(Dialogue(dialogue_id=asked), salt=self._salt(wanted.model), turn=turn)
        said = said or echo(asked)
        input_tokens = count_plain(wanted.system or None, wanted.messages)
        output_tokens = tokens_of_text(said)
        if stop_reason != "end_turn" or output_tokens > wanted.max_tokens or input_tokens > takes.context:
            return None
        name = sha256(body).hexdigest()
        parts = (name[:24].encode(), dumps(wanted.model), dumps(said), input_tokens, output_tokens)
        return PlainAnswer(self._template % parts, name, input_tokens, output_tokens)


def _turn(messages: Sequence[PlainSaid]) -> int | None:
    """How many answers the conversation holds; None where its form is not the usual one."""
    turn, role = 0, ""
    for said in messages:
        role = said.role
        if role == "assistant":
            turn += 1
        if said.content.isspace():
            return None
    return turn if role == "user" else None


def _template() -> bytes:
    """A message with places for what differs."""
    usage: dict[str, Any] = {**USAGE, "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    message = message_of([text_block(TEXT)], name=NAME, model=MODEL, stop_reason="end_turn", usage=usage)
    written = dumps(message).replace(b"%", b"%%").replace(NAME.encode(), b"%b")
    for value in (MODEL, TEXT):
        written = written.replace(dumps(value), b"%b")
    for number in (INPUT_TOKENS, OUTPUT_TOKENS):
        written = written.replace(dumps(number), b"%d")
    return written
