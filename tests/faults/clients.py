"""Clients that a manifest names, to see a run from its provider's side: they log each call before they answer it.

Comes in: FAULTS_CALLS, the file that is told of each call, from the environment, so that one manifest serves all
runs; and `do` in a dialogue, which says how its client misbehaves unless FAULTS_HEALED is set. Everything
else is the mock.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio

from profiler.core.errors import CallError
from profiler.core.nouns import Reply
from profiler.provider.mock import MockClient

if TYPE_CHECKING:
    from profiler.core.nouns import Request
    from profiler.manifest.settings import Experiment


class Counting:
    """The mock, with every call on disk before it is answered, so that no kill can hide one."""

    def __init__(self, experiment: Experiment) -> None:
        self._mock = MockClient(experiment.mock)
        self._log = os.open(os.environ["FAULTS_CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    async def complete(self, request: Request) -> Reply:
        os.write(self._log, f"{request.dialogue.dialogue_id}\n".encode())
        return await self._mock.complete(request)


class Naughty(Counting):
    """Does to each dialogue what it asks for."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self._calls: dict[str, int] = {}

    async def complete(self, request: Request) -> Reply:
        reply = await super().complete(request)
        dialogue = request.dialogue
        wish = None if os.environ.get("FAULTS_HEALED") else dialogue.metadata.get("do")
        if wish is None:
            return reply
        self._calls[dialogue.dialogue_id] = self._calls.get(dialogue.dialogue_id, 0) + 1
        if wish in ANSWERS:
            return cast("Reply", ANSWERS[wish])
        await _misbehave(str(wish), calls=self._calls[dialogue.dialogue_id])
        return reply


class Punctual(Counting):
    """Fails in the very moment in which the engine loses its patience, and tells when too many are in flight."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self._most = experiment.concurrency
        self._timeout_s = experiment.timeout_s
        self._in_flight = 0

    async def complete(self, request: Request) -> Reply:
        self._in_flight += 1
        assert self._in_flight <= self._most, f"{self._in_flight} calls in flight, at most {self._most} are allowed"
        try:
            await anyio.sleep(self._timeout_s if request.attempt == 1 else 0.02)
        finally:
            self._in_flight -= 1
        if request.attempt == 1:
            raise CallError("timeout", "too slow", retryable=True)
        return await super().complete(request)


ANSWERS: dict[str, Any] = {
    "none": None,
    "dict": {"completion": "hello"},
    "int_completion": Reply(completion=cast("str", 7), stop_reason="end_turn", model="m", usage={}),
    "no_usage": Reply(completion="x", stop_reason="end_turn", model="m", usage=cast("dict[str, Any]", None)),
    "text_in_usage": Reply(completion="x", stop_reason="end_turn", model="m", usage={"input_tokens": "many"}),
    "negative_usage": Reply(completion="x", stop_reason="end_turn", model="m", usage={"output_tokens": -1}),
    "negative_latency": Reply(completion="x", stop_reason="end_turn", model="m", usage={}, latency_s=-1.0),
    "nan_latency": Reply(completion="x", stop_reason="end_turn", model="m", usage={}, latency_s=float("nan")),
    "half_a_character": Reply(completion="\ud800", stop_reason="end_turn", model="m", usage={}),
    "model_number": Reply(completion="x", stop_reason="end_turn", model=cast("str", 4), usage={}),
}


FAILURES = {
    "fail": CallError("invalid_request", "no such thing", status=400, request_id="req_1"),
    "fatal": CallError("permission", "the key is not allowed", status=403, fatal=True),
    "fail_always": CallError("overloaded", "busy", status=529, retryable=True),
}


async def _misbehave(wish: str, *, calls: int) -> None:
    match wish:
        case "fail" | "fatal" | "fail_always":
            raise FAILURES[wish]
        case "fail_once":
            if calls == 1:
                raise FAILURES["fail_always"]
        case "hang":
            await anyio.sleep_forever()
        case "crash":
            raise ZeroDivisionError("a bug of the client")
        case "cancel":
            raise anyio.get_cancelled_exc_class()
        case "exit":
            sys.exit(0)
        case _:
            _shrink(Path(os.environ["FAULTS_DATASET"]))


def _shrink(dataset: Path) -> None:
    """To a whole line behind what has been read ahead."""
    os.truncate(dataset, dataset.read_bytes().index(b"\n", dataset.stat().st_size // 2) + 1)
