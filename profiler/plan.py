"""Dialogues in, requests out: what is sent for each dialogue, and the line that says so in requests.jsonl.

A request is planned from the experiment and one dialogue alone, so a resumed run plans the same
requests again. Each text is encoded once, and what all requests share only once a run. Knows nothing
of clients, files or time.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.codec import dumps, encode
from profiler.model import Dialogue, Params, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from profiler.settings import Experiment

SYSTEMS_REMEMBERED = 256


def params_of(experiment: Experiment) -> Params:
    return Params(
        model=experiment.model,
        max_tokens=experiment.max_tokens,
        temperature=experiment.temperature,
        top_p=experiment.top_p,
        top_k=experiment.top_k,
        stop_sequences=experiment.stop_sequences,
        thinking=experiment.thinking,
        effort=experiment.effort,
    )


class RequestLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of requests.jsonl, its fields in the order in which they are written."""

    dialogue_id: str
    index: int
    model: str
    temperature: float | None
    max_tokens: int
    prompt: msgspec.Raw
    request_hash: str
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


class Planner:
    """Plans requests for one experiment; the same dialogue always gives the same request."""

    def __init__(self, params: Params, *, system: str | None = None) -> None:
        self._params = params
        self._system = system
        self._wire = dumps(_wire_settings(params))[:-1]
        self._opened = lru_cache(SYSTEMS_REMEMBERED)(self._open)

    def plan(self, dialogues: Iterable[Dialogue], *, first: int = 0) -> Iterator[Request]:
        for index, dialogue in enumerate(dialogues, first):
            yield self.request(index, dialogue)

    def request(self, index: int, dialogue: Dialogue) -> Request:
        """The first request of a dialogue, and its line: what is sent, and by what the answer is judged."""
        sent_head, logged_head = self._opened(self._system if dialogue.system is None else dialogue.system)
        messages, sent, logged = _asked(dialogue)
        body = b'%b,"messages":%b}' % (sent_head, sent)
        # later turns hold replies, so what identifies them is what they are made from
        identity = body if dialogue.turns is None else body + logged
        params = self._params
        line = RequestLine(
            dialogue_id=dialogue.dialogue_id,
            index=index,
            model=params.model,
            temperature=params.temperature,
            max_tokens=params.max_tokens,
            prompt=msgspec.Raw(logged_head + logged),
            request_hash=sha256(identity).hexdigest(),
            required_facts=dialogue.required_facts,
            expect_refusal=dialogue.expect_refusal,
            tags=dialogue.tags,
            metadata=dialogue.metadata,
        )
        return Request(
            index=index, dialogue=dialogue, params=params, messages=messages, body=body, line=encode(line) + b"\n"
        )

    def next_turn(self, request: Request, completion: str) -> Request | None:
        """The request that follows a reply, or None after the last turn."""
        turns = request.dialogue.turns
        turn = request.turn + 1
        if turns is None or turn == len(turns):
            return None
        messages = (
            *request.messages,
            {"role": "assistant", "content": completion},
            {"role": "user", "content": turns[turn]},
        )
        system = request.dialogue.system
        sent_head, _ = self._opened(self._system if system is None else system)
        body = b'%b,"messages":%b}' % (sent_head, dumps(messages))
        return msgspec.structs.replace(request, messages=messages, body=body, turn=turn, attempt=1)

    def _open(self, system: str | None) -> tuple[bytes, bytes]:
        """How the body and the logged prompt begin. An empty system prompt is none, also where the others share one."""
        encoded = dumps(system or None)
        sent = self._wire if not system else b'%b,"system":%b' % (self._wire, encoded)
        return sent, b'{"system":%b,' % encoded


def _asked(dialogue: Dialogue) -> tuple[tuple[dict[str, Any], ...], bytes, bytes]:
    """The opening messages: as values, as they are sent, and as they are logged."""
    if dialogue.user is not None:
        text = dumps(dialogue.user)
        messages: tuple[dict[str, Any], ...] = ({"role": "user", "content": dialogue.user},)
        return messages, b'[{"role":"user","content":%b}]' % text, b'"user":%b}' % text
    if dialogue.messages is not None:
        messages = tuple({"role": message.role, "content": message.content} for message in dialogue.messages)
        encoded = dumps(messages)
        return messages, encoded, b'"messages":%b}' % encoded
    turns = dialogue.turns or ("",)
    messages = ({"role": "user", "content": turns[0]},)
    return messages, dumps(messages), b'"turns":%b}' % dumps(turns)


def _wire_settings(params: Params) -> dict[str, Any]:
    """Only what the manifest sets: models differ in what they refuse, so nothing is sent by default."""
    settings: dict[str, Any] = {"model": params.model, "max_tokens": params.max_tokens}
    for name in ("temperature", "top_p", "top_k", "thinking"):
        if (value := getattr(params, name)) is not None:
            settings[name] = value
    if params.stop_sequences:
        settings["stop_sequences"] = params.stop_sequences
    if params.effort is not None:
        settings["output_config"] = {"effort": params.effort}
    return settings
