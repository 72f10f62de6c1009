"""Plans the request for each dialogue: the bytes to send, and its line in requests.jsonl.

A request depends on the experiment and its dialogue alone, so a resumed run plans the same requests again. Each text is
encoded once, and what all requests share is encoded once a run.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from itertools import count, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from profiler.core.json import dumps
from profiler.core.nouns import Dialogue, Message, Params, Request, RequestLine
from profiler.core.sent_parameters import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from hashlib import _Hash as Hash

    from profiler.manifest.settings import Experiment

SYSTEMS_REMEMBERED = 256
SAMPLING = ("temperature", "top_p", "top_k")
API_VERSION = "2026-10-21"  # pinned here and not left to the SDK: it belongs to what a run is
OF_A_LINE = ("model", "max_tokens", "temperature")  # settings for which a line of requests.jsonl has keys
SAMPLING_API_VERSION = "2023-06-01"  # newer versions refuse sampling parameters, even at their defaults


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
        cache=experiment.cache,
        api_version=api_version_of(experiment),
        tools=experiment.tools,
        tool_choice=experiment.tool_choice,
        output_format=experiment.output_format,
        request=experiment.request,
    )


def api_version_of(experiment: Experiment) -> str | None:
    """The value of the header `anthropic-version`.

    Other providers put a version of their own into the body; None leaves that to the SDK, which knows it.
    """
    if experiment.api_version is not None:
        return experiment.api_version
    if any(getattr(experiment, name) is not None for name in SAMPLING):
        return SAMPLING_API_VERSION
    return API_VERSION if experiment.provider == "anthropic" else None


def planner_of(experiment: Experiment) -> Planner:
    return Planner(params_of(experiment), system=experiment.system, repeats=experiment.repeats)


class Head(NamedTuple):
    """The body of a request up to its messages. Most requests share it, so it is hashed once."""

    text: bytes
    hashed: Hash

    @staticmethod
    def of(text: bytes) -> Head:
        return Head(text, sha256(text))


class Planner:
    """Plans the requests of one experiment; the same dialogue always gives the same request.

    With `repeats` every dialogue is asked that often, by requests side by side that differ in nothing but their number.
    """

    def __init__(self, params: Params, *, system: str | None = None, repeats: int = 1) -> None:
        self._params = params
        self._repeats = repeats
        self._system = system
        settings = _wire_settings(params)
        self._settings = dumps(settings)[:-1]  # open at its end: the rest of the body follows
        self._told = _request_of_line(settings)
        # The line in requests.jsonl names the version only where it is not the usual one.
        self._version_told = None if params.api_version == API_VERSION else params.api_version
        self._head = lru_cache(SYSTEMS_REMEMBERED)(self._head_with)

    def plan(self, dialogues: Iterable[Dialogue], *, first: int = 0) -> Iterator[Request]:
        """The requests from index `first` on; `dialogues` begin with the one that it belongs to."""
        if self._repeats == 1:
            return map(self.request, count(first), dialogues)
        started = first % self._repeats  # how many repeats of the first dialogue come before
        return islice(self._repeated(dialogues, first=first - started), started, None)

    def _repeated(self, dialogues: Iterable[Dialogue], *, first: int) -> Iterator[Request]:
        replace = msgspec.structs.replace
        for index, dialogue in zip(count(first, self._repeats), dialogues):
            asked = self.request(index, dialogue)
            for repeat in range(self._repeats):
                line = replace(asked.line, index=index + repeat, repeat=repeat)
                yield replace(asked, index=index + repeat, line=line, repeat=repeat)

    def request(self, index: int, dialogue: Dialogue) -> Request:
        """The first request of a dialogue with its line, which also holds what the answer will be judged by."""
        params = self._params
        system = self._system_of(dialogue)
        head, told = self._head(system), self._told
        if dialogue.request is not None:
            head, told = self._head_of(dialogue.request, system)
        identity = head.hashed.copy()
        if dialogue.user is not None:
            rest = b'[{"role":"user","content":%b}]}' % dumps(dialogue.user)
            prompt: dict[str, Any] = {"system": system, "user": dialogue.user}
        elif dialogue.messages is not None:
            rest = dumps(_plain(dialogue.messages)) + b"}"
            prompt = {"system": system, "messages": dialogue.messages}
        else:
            turns = dialogue.turns or ()
            rest = dumps([{"role": "user", "content": turns[0]}]) + b"}"
            prompt = {"system": system, "turns": turns}
        identity.update(rest)
        if dialogue.turns is not None:  # later ones will hold the model's replies, so the hash covers what was prepared
            identity.update(dumps(dialogue.turns))
        line = RequestLine(
            dialogue.dialogue_id,
            index,
            params.model,
            params.temperature,
            params.max_tokens,
            prompt,
            identity.hexdigest(),
            dialogue.required_facts,
            dialogue.expect_refusal,
            dialogue.tags,
            dialogue.metadata,
            self._version_told,
            dialogue.expected,
            told,
        )
        return Request(index=index, dialogue=dialogue, params=params, body=head.text + rest, line=line)

    def next_turn(self, request: Request, completion: str) -> Request | None:
        """The request that follows a reply, or None after the last turn."""
        dialogue = request.dialogue
        turn = request.turn + 1
        if dialogue.turns is None or turn == len(dialogue.turns):
            return None
        messages = [
            *request.messages,
            {"role": "assistant", "content": completion},
            {"role": "user", "content": dialogue.turns[turn]},
        ]
        system, own = self._system_of(dialogue), dialogue.request
        head = self._head(system) if own is None else self._head_of(own, system)[0]
        body = head.text + dumps(messages) + b"}"
        return msgspec.structs.replace(request, body=body, turn=turn, attempt=1)

    def _system_of(self, dialogue: Dialogue) -> str | None:
        """The dialogue's own system prompt, else the experiment's. An empty text in the dialogue means none at all."""
        return (self._system if dialogue.system is None else dialogue.system) or None

    def _head_of(self, own: dict[str, Any], system: str | None) -> tuple[Head, msgspec.Raw | msgspec.UnsetType]:
        """The head for a dialogue with a `request` of its own, and what its line says under `request`."""
        settings = _wire_settings(_with_own(self._params, own))
        return self._head_with(system, dumps(settings)[:-1]), _request_of_line(settings)

    def _head_with(self, system: str | None, settings: bytes | None = None) -> Head:
        settings = self._settings if settings is None else settings
        if system is None:
            return Head.of(settings + b',"messages":')
        cache = self._params.cache
        blocks: Any = system
        if cache is not None and cache.system:
            blocks = [{"type": "text", "text": system, "cache_control": cache.control}]
        return Head.of(b'%b,"system":%b,"messages":' % (settings, dumps(blocks)))


def _plain(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _wire_settings(params: Params) -> dict[str, Any]:
    """The settings that are sent. Only what the manifest sets is: models differ in what they refuse, so no default is sent."""
    settings: dict[str, Any] = {"model": params.model, "max_tokens": params.max_tokens}
    for name in (*SAMPLING, "thinking"):
        if (value := getattr(params, name)) is not None:
            settings[name] = value
    if params.stop_sequences:
        settings["stop_sequences"] = params.stop_sequences
    if params.tools:
        settings["tools"] = params.tools
    if params.tool_choice is not None:
        settings["tool_choice"] = params.tool_choice
    output = dict(params.request.get("output_config", ()))
    if params.effort is not None:
        output["effort"] = params.effort
    if params.output_format is not None:
        output["format"] = params.output_format
    if output:
        settings["output_config"] = output
    if params.cache is not None and params.cache.messages:
        settings["cache_control"] = params.cache.control  # the provider caches up to the newest message that allows it
    settings.update((key, value) for key, value in params.request.items() if key != "output_config")
    return settings


def _with_own(params: Params, own: dict[str, Any]) -> Params:
    """The settings of an experiment, overridden by those of the dialogue's own `request`. A null removes a setting."""
    named = {key: own[key] for key in BY_NAME if key in own}
    if "tools" in named:
        named["tools"] = tuple(named["tools"] or ())
    rest = {key: value for key, value in own.items() if key not in BY_NAME}
    return msgspec.structs.replace(params, **named, request={**params.request, **rest})


def _request_of_line(settings: dict[str, Any]) -> msgspec.Raw | msgspec.UnsetType:
    """What a line of requests.jsonl has under `request`: all settings without a key of their own."""
    rest = {key: value for key, value in settings.items() if key not in OF_A_LINE}
    return msgspec.Raw(dumps(rest)) if rest else msgspec.UNSET
