"""Clients that test manifests name. Each logs a call before it answers it, so a test sees a run as its provider would.

The environment variable FAULTS_CALLS names the log, so one manifest serves all runs. `do` in the metadata of a dialogue
says how `Naughty` misbehaves for it, unless FAULTS_HEALED is set. Otherwise these clients answer like the mock.
"""

from __future__ import annotations

import os
import sys
from copy import copy
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
    """The mock, which writes each call to disk before it answers, so that no kill can hide a call."""

    def __init__(self, experiment: Experiment) -> None:
        self._mock = MockClient(experiment.mock)
        self._log = os.open(os.environ["FAULTS_CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    async def complete(self, request: Request) -> Reply:
        repeat = "" if request.repeat is None else f"#{request.repeat}"
        os.write(self._log, f"{request.dialogue.dialogue_id}{repeat}\n".encode())
        return await self._mock.complete(request)


class Naughty(Counting):
    """Misbehaves for each dialogue in the way that the dialogue asks for."""

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
    """Fails at the very moment at which the engine times the call out; asserts that no more calls are in flight than
    allowed."""

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


def said(**fields: Any) -> Reply:
    usual: dict[str, Any] = {"completion": "x", "stop_reason": "end_turn", "model": "m", "usage": {"input_tokens": 1}}
    return Reply(**{**usual, **fields})


NO_REPLY: dict[str, Any] = {
    "none": None,
    "dict": {"completion": "hello"},
    "int_completion": said(completion=7),
    "huge": 10**5000,
}
ODD_REPLIES: dict[str, Any] = {
    "no_usage": said(usage=None),
    "text_in_usage": said(usage={"input_tokens": "many"}),
    "negative_usage": said(usage={"output_tokens": -1}),
    "usage_of_numbers": said(usage={1: object()}),
    "negative_latency": said(latency_s=-1.0),
    "nan_latency": said(latency_s=float("nan")),
    "half_a_character": said(completion="\ud800"),
    "model_number": said(model=4),
    "model_half": said(model="\ud800"),
    "odd_metadata": said(metadata={"x": object()}),
    "odd_limits": said(limits="many"),
}
ANSWERS = {**NO_REPLY, **ODD_REPLIES}


class Bare(CallError):
    """The error of a subclass that never called `CallError.__init__`."""

    def __init__(self) -> None:
        Exception.__init__(self)


FAILURES = {
    "fail": CallError("invalid_request", "no such thing", status=400, request_id="req_1"),
    "fatal": CallError("permission", "the key is not allowed", status=403, fatal=True),
    "fail_always": CallError("overloaded", "busy", status=529, retryable=True),
}
ODD_FAILURES: dict[str, CallError] = {
    "status_for_kind": CallError(429, "slow down"),  # type: ignore[arg-type]
    "no_kind": CallError(None, "what happened?"),  # type: ignore[arg-type]
    "no_message": CallError("odd", None),  # type: ignore[arg-type]
    "bytes_for_message": CallError("odd", b"\xff"),  # type: ignore[arg-type]
    "half_a_message": CallError("odd\ud800", "half \ud800"),
    "colours": CallError("\x1b[31modd", "\x1b]0;title\x07red"),
    "text_for_status": CallError("odd", "m", status="429"),  # type: ignore[arg-type]
    "status_of_7": CallError("odd", "m", status=7),
    "list_for_request_id": CallError("odd", "m", request_id=[1]),  # type: ignore[arg-type]
    "text_for_wait": CallError("odd", "m", retry_after_s="soon"),  # type: ignore[arg-type]
    "wait_of_nan": CallError("odd", "m", retry_after_s=float("nan")),
    "limits_of_text": CallError("odd", "m", limits="none"),  # type: ignore[arg-type]
    "bare": Bare(),
}


async def _misbehave(wish: str, *, calls: int) -> None:
    match wish:
        case "fail" | "fatal" | "fail_always":
            raise FAILURES[wish]
        case _ if wish in ODD_FAILURES:
            raise copy(ODD_FAILURES[wish])
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
    """Cut the dataset after a whole line, somewhere behind what the run has read ahead."""
    os.truncate(dataset, dataset.read_bytes().index(b"\n", dataset.stat().st_size // 2) + 1)
