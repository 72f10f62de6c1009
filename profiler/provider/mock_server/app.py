"""The provider in one object: what each request is answered with.

Comes in: whole requests. Goes out: what to write, when, and how it ends. It has the only state that lasts: counters,
buckets and the place in the script. Knows nothing of sockets and creates no task.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from profiler.core.json import dumps
from profiler.provider.mock_server import faults
from profiler.provider.mock_server.answering.answers import USAGE
from profiler.provider.mock_server.counters import Stats
from profiler.provider.mock_server.delivery import STILL_ANSWERS, deliver, draws, latency
from profiler.provider.mock_server.faults import NO_FAULT, Fault, Faults
from profiler.provider.mock_server.http import Malformed, render
from profiler.provider.mock_server.messages import Messages
from profiler.provider.mock_server.rate_limits import Limits
from profiler.provider.mock_server.reading.requests import api_version, authenticate
from profiler.provider.mock_server.settings import ApiError, Outgoing, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.provider.mock_server.http import Incoming

MESSAGES, COUNT_TOKENS, MODELS = "/v1/messages", "/v1/messages/count_tokens", "/v1/models"
STATS, RESET = "/__stats", "/__reset"
ENDPOINTS = (MESSAGES, COUNT_TOKENS, MODELS)
STATIC: dict[str, Any] = {
    "id": "msg_static",
    "type": "message",
    "role": "assistant",
    "model": "claude-static",
    "content": [{"type": "text", "text": "This is the one answer of a static mock server."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {**USAGE, "input_tokens": 24, "output_tokens": 12},
}
STATIC_BODY = dumps(STATIC)


class App:
    """Answers requests. The clocks are its caller's."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        faults.check_rates(settings.faults)
        script = faults.load_script(settings.script_path) if settings.script_path is not None else ()
        self.settings = settings
        self.stats = Stats(now=clock())
        self._clock = clock
        self._wall = wall
        self.messages = Messages(settings)
        self._faults = Faults(rates=settings.faults, script=script)
        self._limits = Limits(settings)
        self._draws = bool(settings.faults or settings.latency_sigma or settings.stall_rate)
        self._plain = not (self._draws or self._faults or self._limits or settings.concurrency_limit)
        self._requests = 0

    def reset(self) -> None:
        """As new: counters, buckets and the script."""
        self.stats.reset(now=self._clock())
        self._faults.reset()
        self._limits = Limits(self.settings)
        self.messages.reset()
        self._requests = 0

    def snapshot(self, *, asked: bool = False) -> dict[str, Any]:
        return self.stats.as_json(now=self._clock(), asked=asked)

    def respond(self, request: Incoming) -> Outgoing:
        head = request.head
        if head.path in (STATS, RESET):
            return self._about_itself(request)
        self._requests += 1
        endpoint = _endpoint(head.path)
        now = self._clock()
        self.stats.begin(endpoint, now=now)
        try:
            outgoing = self._route(request, now=now)
        except ApiError as error:
            outgoing = self._error(error, endpoint=endpoint)
        if head.method == "HEAD":
            _drop_body(outgoing)
        return outgoing

    def finish(self, outgoing: Outgoing, *, whole: bool) -> None:
        """An answer was written to its end, or never will be."""
        if outgoing.counted:
            self.stats.end(outgoing.endpoint, outgoing.status, whole=whole, asked=outgoing.asked)

    def refuse(self, error: Malformed) -> bytes:
        """The last words to a sender whose bytes are no request."""
        self.stats.malformed[error.status] += 1
        self._requests += 1
        kind = "request_too_large" if error.status == 413 else "invalid_request_error"
        body = dumps(ApiError(error.status, kind, error.message).body(self._request_id()))
        return render(error.status, body, fields=self._fields() + b"connection: close\r\n")

    def _route(self, request: Incoming, *, now: float) -> Outgoing:
        head = request.head
        path, method = head.path, head.method
        if path == MESSAGES and method == "POST":
            return self._static_message(request, now=now) if self.settings.static else self._message(request, now=now)
        if path not in ENDPOINTS and not path.startswith(f"{MODELS}/"):
            raise ApiError(404, "not_found_error", f"{path[:200]}: there is no such endpoint")
        wanted = "POST" if path in (MESSAGES, COUNT_TOKENS) else "GET"
        if method != wanted:
            raise ApiError(405, "invalid_request_error", f"{path[:200]}: found {method[:20]}, expected {wanted}")
        authenticate(head.headers, self.settings.key)
        api_version(head.headers)
        if path == COUNT_TOKENS:
            return self._json(self._counted(request), endpoint=COUNT_TOKENS)
        models = self.messages.models
        found = models.page(head.query) if path == MODELS else models.info(path.removeprefix(f"{MODELS}/"))
        return self._json(found, endpoint=MODELS)

    # one endpoint each

    def _about_itself(self, request: Incoming) -> Outgoing:
        head = request.head
        found = self.snapshot(asked="asked" in head.query)
        if head.path == RESET:
            if head.method != "POST":
                error = ApiError(405, "invalid_request_error", f"{RESET}: found {head.method[:20]}, expected POST")
                return self._error(error, endpoint=RESET, counted=False)
            self.reset()
        return self._json(found, endpoint=head.path, counted=False)

    def _counted(self, request: Incoming) -> dict[str, int]:
        return self.messages.count(request.body, headers=request.head.headers, query=request.head.query)

    def _message(self, request: Incoming, *, now: float) -> Outgoing:
        headers = request.head.headers
        authenticate(headers, self.settings.key)
        question = self.messages.read(request.body, headers=headers, query=request.head.query)
        wanted = question.asked.wanted
        if wanted.stream and request.head.http_1_0:
            raise ApiError(400, "invalid_request_error", "stream: needs HTTP/1.1")
        answer = self.messages.answer(question, now=now)
        usage = answer.message["usage"]
        self._admit(input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"], now=now)
        times = self.stats.ask(question.name)
        outgoing = self._meet_fate(
            answer.message,
            stream=wanted.stream,
            asked=question.name,
            call=f"{question.name} {times}",
            dialogue_id=question.asked.dialogue.dialogue_id,
            text=wanted.asked()[0] if self._faults else "",
        )
        self.messages.given(answer, now=now, begins_at=now + outgoing.pieces[0][0] if outgoing.pieces else now)
        return outgoing

    def _static_message(self, request: Incoming, *, now: float) -> Outgoing:
        """One reply for everything, without a look at the request."""
        if self._plain:
            self.stats.spend(24, 12)
            reply = render(200, STATIC_BODY, fields=b"request-id: %b\r\n" % self._request_id().encode())
            return Outgoing(pieces=((self.settings.latency_s, reply),), endpoint=MESSAGES, status=200)
        self._admit(input_tokens=24, output_tokens=12, now=now)
        named = request.head.headers.get("x-dialogue-id", "")
        call = str(self._requests)
        return self._meet_fate(STATIC, stream=False, asked=None, call=call, dialogue_id=named, text="")

    # between a request and its answer

    def _admit(self, *, input_tokens: int, output_tokens: int, now: float) -> None:
        limit = self.settings.concurrency_limit
        if limit is not None and self.stats.in_flight > limit:
            self.stats.limited["concurrency"] += 1
            raise ApiError(529, "overloaded_error", "Overloaded")
        refusal = self._limits.admit(input_tokens=input_tokens, output_tokens=output_tokens, now=now)
        if refusal is not None:
            self.stats.limited[refusal.limit] += 1
            raise ApiError(
                429,
                "rate_limit_error",
                f"This request would exceed your rate limit of {refusal.per_minute:,} {refusal.limit} per minute",
                retry_after=str(math.ceil(refusal.wait_s)),
            )

    def _meet_fate(
        self, message: dict[str, Any], *, stream: bool, asked: str | None, call: str, dialogue_id: str, text: str
    ) -> Outgoing:
        """Draw how long it takes and what goes wrong, and prepare what is sent."""
        settings, fault, latency_s = self.settings, NO_FAULT, self.settings.latency_s
        if self._draws or self._faults:
            drawn = draws(settings.seed, call)
            latency_s = latency(settings, drawn)
            fault = self._faults.next(dialogue_id=dialogue_id, text=text, draw=drawn.fault)
        if fault.fault != faults.OK:
            self.stats.faults[fault.fault] += 1
            self._raise_status(fault, stream=stream)
        fields = self._fields()
        pieces, end, status = deliver(
            message,
            stream=stream,
            fields=fields,
            fault=fault,
            latency_s=latency_s,
            trickle_s=settings.trickle_s,
        )
        usage = message["usage"]
        self.stats.spend(usage["input_tokens"], usage["output_tokens"])
        answered = asked if fault.fault in STILL_ANSWERS else None
        return Outgoing(pieces=pieces, end=end, endpoint=MESSAGES, status=status, asked=answered)

    def _raise_status(self, fault: Fault, *, stream: bool) -> None:
        if fault.fault == "stream-error" and not stream:
            fault = Fault(fault="529", delay_s=fault.delay_s)
        error = faults.error_of(fault, wall=self._wall())
        if error is not None:
            error.delay_s = fault.delay_s
            raise error

    # how it is written

    def _json(self, value: dict[str, Any], *, endpoint: str, counted: bool = True) -> Outgoing:
        reply = render(200, dumps(value), fields=self._fields() if counted else b"")
        return Outgoing(pieces=((0.0, reply),), endpoint=endpoint, status=200, counted=counted)

    def _error(self, error: ApiError, *, endpoint: str, counted: bool = True) -> Outgoing:
        fields = self._fields()
        if error.retry_after is not None:
            fields += b"retry-after: %b\r\n" % error.retry_after.encode("latin-1", "replace")
        reply = render(error.status, dumps(error.body(self._request_id())), fields=fields)
        pieces = ((error.delay_s, reply),)
        return Outgoing(pieces=pieces, endpoint=endpoint, status=error.status, counted=counted)

    def _fields(self) -> bytes:
        return b"request-id: %b\r\n" % self._request_id().encode() + self._limits.fields(
            now=self._clock(), wall=self._wall()
        )

    def _request_id(self) -> str:
        """The n-th request of a server always has the same id."""
        return f"req_{self._requests:024d}"


def _endpoint(path: str) -> str:
    """What is counted together; unknown paths must not fill the memory."""
    if path in ENDPOINTS:
        return path
    return MODELS if path.startswith(f"{MODELS}/") else "other"


def _drop_body(outgoing: Outgoing) -> None:
    whole = b"".join(piece for _, piece in outgoing.pieces)
    outgoing.pieces = ((0.0, whole[: whole.index(b"\r\n\r\n") + 4]),)
