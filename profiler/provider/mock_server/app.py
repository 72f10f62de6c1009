"""The server without its sockets: what each request is answered with.

`App` takes whole requests and says what to write, when, and how it ends. All that lasts from one request to the next is
in the parts that it holds, so a test can use it without a network.
"""

from __future__ import annotations

import time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps
from profiler.provider.mock_server.admission.admission import Admission
from profiler.provider.mock_server.admission.calls import Call, ServerReply, json_reply
from profiler.provider.mock_server.admission.fault_script import Subject
from profiler.provider.mock_server.admission.faults import OK
from profiler.provider.mock_server.admission.rate_limits import Need
from profiler.provider.mock_server.clock import Clock
from profiler.provider.mock_server.control import PREFIX, Control
from profiler.provider.mock_server.delivery.reply_delivery import deliver_reply
from profiler.provider.mock_server.endpoints import BATCHES, FILES, MESSAGE, MESSAGES, find, refuse
from profiler.provider.mock_server.history.counters import Stats
from profiler.provider.mock_server.history.journal import Entry, Journal, kept_body, kept_head, request_id_of
from profiler.provider.mock_server.message_endpoint import MessageEndpoint
from profiler.provider.mock_server.messages import Messages
from profiler.provider.mock_server.reading.requests import api_version, authenticate
from profiler.provider.mock_server.settings import ApiError, Outgoing, ServerSettings
from profiler.provider.mock_server.stored.batches import Batches
from profiler.provider.mock_server.stored.files import Files
from profiler.provider.mock_server.wire.cross_origin import cross_origin_fields
from profiler.provider.mock_server.wire.encoding import compressed, decoded
from profiler.provider.mock_server.wire.reply_bytes import render
from profiler.provider.mock_server.wire.request_parser import HEADS, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.provider.mock_server.reading.requests import Version
    from profiler.provider.mock_server.wire.request_parser import Head, Incoming

LOOKED_AT = frozenset({"content-encoding", "x-dialogue-id"})  # header fields that change how a message is answered
SEARCHED = 1 << 20  # bytes of a body in which the rules of a script look for their words


class App:
    """Answers requests. The clocks are its caller's."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.larger_bodies = {BATCHES: settings.max_batch_body, FILES: settings.max_file_body}
        self.clock = Clock(monotonic=clock, wall=wall)
        self.stats = Stats(now=clock(), remember=settings.remember)
        self.admission = Admission(settings, self.stats)
        self.journal = Journal(limit=0 if settings.static else settings.journal_bytes)
        self.files = Files(settings)
        self.messages = Messages(settings)
        self._endpoint = MessageEndpoint(
            settings, messages=self.messages, admission=self.admission, stats=self.stats, clock=self.clock
        )
        self._batches = Batches(settings, admission=self.admission, answer_item=self._endpoint.answer_item)
        self._control = Control(self)
        self._handlers = self._endpoints()
        self._welcomed = lru_cache(HEADS)(self._welcome)  # a head that was let in once is let in again
        self._requests = 0
        self._is_simple = lru_cache(HEADS)(self._looks_simple)

    def _endpoints(self) -> dict[str, Callable[[Call], ServerReply]]:
        batches, files, models = self._batches, self.files, self.messages.models
        return {
            "count_tokens": self._endpoint.count,
            "models.list": lambda call: json_reply(models.page(call.query)),
            "models.retrieve": lambda call: json_reply(models.info(call.named)),
            "batches.create": batches.create,
            "batches.list": batches.list,
            "batches.retrieve": batches.retrieve,
            "batches.delete": batches.delete,
            "batches.cancel": batches.cancel,
            "batches.results": batches.results,
            "files.upload": files.upload,
            "files.list": files.list,
            "files.retrieve_metadata": files.retrieve_metadata,
            "files.delete": files.delete,
            "files.download": files.download,
        }

    def reset(self) -> None:
        """As new: counters, buckets, script, clock, journal, batches and files."""
        self.clock.reset()
        self.stats.reset(now=self.clock.uptime())
        for part in (self.admission, self.messages, self.journal, self.files, self._batches):
            part.reset()
        self._requests = 0

    def snapshot(self, *, asked: bool = False) -> dict[str, Any]:
        shown = self.stats.as_json(now=self.clock.uptime(), asked=asked)
        return {**shown, "journal": {"dropped": self.journal.dropped}}

    def respond(self, request: Incoming) -> Outgoing:
        head = request.head
        if self.admission.open and self._is_simple(head) and (outgoing := self._at_once(request)) is not None:
            return outgoing
        if head.path.startswith(PREFIX):
            return self._about_itself(request)
        call = self._begin(request)
        entry = self._noted(request, call.endpoint.name, began=call.uptime, at=call.wall) if self.journal else None
        try:
            outgoing = self._route(call)
        except ApiError as error:
            outgoing = self._error(error, call)
        if entry is not None:
            if call.request is not request:  # it came compressed, and was read all the same
                entry.body = kept_body(call.body)
            entry.fault = None if call.fault.fault == OK else call.fault.fault
            outgoing.entry = entry
        if head.method == "HEAD":
            _drop_body(outgoing)
        elif self.settings.gzip and "gzip" in head.headers.get("accept-encoding", ""):
            _compress(outgoing)
        return outgoing

    def _looks_simple(self, head: Head) -> bool:
        """Whether a request needs no more than its answer: nothing in its head says otherwise."""
        settings = self.settings
        if settings.cors or settings.gzip or not self._endpoint.steady:
            return False
        if (head.method, head.path) != ("POST", MESSAGES):
            return False
        if settings.static:
            return True
        try:
            self._welcome(head)
        except ApiError:
            return False  # which is said by who looks closer
        return self._endpoint.answers_plain and head.headers.keys().isdisjoint(LOOKED_AT)

    def _at_once(self, request: Incoming) -> Outgoing | None:
        """Most requests, on a server that does nothing out of the ordinary; None where a closer look is needed."""
        fields = b"request-id: req_%024d\r\n" % (self._requests + 1)
        if self.settings.static:
            outgoing: Outgoing | None = self._endpoint.create_static_at_once(request.body, fields=fields)
        else:
            outgoing = self._endpoint.create_plain(request.body, fields=fields)
        if outgoing is None:
            return None
        self._requests += 1
        uptime = self.clock.uptime()
        self.stats.begin(MESSAGES, now=uptime)
        if self.journal:
            outgoing.entry = self._noted(request, MESSAGE.name, began=uptime, at=self.clock.wall())
        return outgoing

    def _begin(self, request: Incoming) -> Call:
        self._requests += 1
        endpoint, named = find(request.head.method, request.head.path)
        uptime = self.clock.uptime()
        self.stats.begin(endpoint.counted_as, now=uptime)
        return Call(
            request=request,
            endpoint=endpoint,
            named=named,
            request_id=self._request_id(),
            uptime=uptime,
            now=uptime + self.clock.ahead_s,
            wall=self.clock.wall(),
        )

    def _noted(self, request: Incoming, endpoint: str, *, began: float, at: float) -> Entry:
        entry = Entry(
            n=self._requests,
            at=at,
            began=began,
            endpoint=endpoint,
            head=kept_head(request.head),
            # a token cannot be found in what is compressed, so that is kept when it has been read
            body=b"" if "content-encoding" in request.head.headers else kept_body(request.body),
            body_bytes=len(request.body),
        )
        self.journal.begin(entry)
        return entry

    def finish(self, outgoing: Outgoing, *, whole: bool) -> None:
        """An answer was written to its end, or never will be."""
        if not outgoing.counted:
            return
        self.stats.end(outgoing.endpoint, outgoing.status, whole=whole, asked=outgoing.asked)
        if outgoing.entry is not None:
            outgoing.entry.status, outgoing.entry.whole = outgoing.status, whole
            self.journal.end(outgoing.entry, now=self.clock.uptime())

    def refuse(self, error: Malformed) -> bytes:
        """The last words to a sender whose bytes are no request."""
        self.stats.malformed[error.status] += 1
        self._requests += 1
        kind = "request_too_large" if error.status == 413 else "invalid_request_error"
        body = dumps(ApiError(error.status, kind, error.message).body(self._request_id()))
        fields = b"request-id: %b\r\nconnection: close\r\n" % self._request_id().encode()
        return render(error.status, body, fields=fields)

    def _about_itself(self, request: Incoming) -> Outgoing:
        try:
            reply = self._control.respond(request)
        except ApiError as error:
            reply = ServerReply(status=error.status, body=dumps(error.body("")))
        whole = render(reply.status, reply.whole_body(), fields=b"vary: origin\r\n", content_type=reply.content_type)
        return Outgoing(pieces=((0.0, whole),), endpoint=PREFIX, status=reply.status, counted=False)

    def _route(self, call: Call) -> Outgoing:
        settings, head, endpoint = self.settings, call.request.head, call.endpoint
        if settings.cors:
            call.fields = cross_origin_fields(head.headers, allowed=settings.cors)
            if head.method == "OPTIONS":
                return self._reply(ServerReply(), call)
        if settings.static and endpoint is MESSAGE:
            return self._endpoint.create_static(call)
        if not endpoint.method:
            raise refuse(head.method, head.path)
        call.version = self._welcomed(head)
        if (coding := head.headers.get("content-encoding")) is not None:
            limit = self.larger_bodies.get(head.path, settings.max_body)
            body = decoded(call.body, coding=coding, limit=limit)
            call.request = msgspec.structs.replace(call.request, body=body)
        return self._endpoint.create(call) if endpoint is MESSAGE else self._other(call)

    def _welcome(self, head: Head) -> Version:
        authenticate(head.headers, self.settings.key)
        return api_version(head.headers, head.query)

    def _other(self, call: Call) -> Outgoing:
        """All but messages. What refuses a request comes before anything is done, what breaks its reply after."""
        name, admission = call.endpoint.name, self.admission
        model = _model(call.body) if name == "count_tokens" else None
        admission.admit(call, Need(endpoint=name, model=model))
        if admission.faults:
            chance = admission.chance(f"{name} {call.request.head.path} {sha256(call.body).hexdigest()}")
            text = call.body[:SEARCHED].decode("utf-8", "replace")
            said = admission.meet(call, Subject(endpoint=name, model=model, text=text, draw=chance))
            if said is not None:
                return self._reply(said, call)
        return self._reply(self._handlers[name](call), call)

    def _reply(self, reply: ServerReply, call: Call) -> Outgoing:
        return deliver_reply(reply, call, fields=self.admission.fields(call), trickle_s=self.settings.trickle_s)

    def _error(self, error: ApiError, call: Call) -> Outgoing:
        fields = self.admission.fields(call)
        if error.retry_after is not None:
            fields += b"retry-after: %b\r\n" % error.retry_after.encode("latin-1", "replace")
        reply = render(error.status, dumps(error.body(call.request_id)), fields=fields)
        return Outgoing(pieces=((error.delay_s, reply),), endpoint=call.endpoint.counted_as, status=error.status)

    def _request_id(self) -> str:
        return request_id_of(self._requests)


class _Named(msgspec.Struct):
    model: str | None = None


_named = msgspec.json.Decoder(_Named)


def _model(body: bytes) -> str | None:
    try:
        return _named.decode(body).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _drop_body(outgoing: Outgoing) -> None:
    whole = b"".join(piece for _, piece in outgoing.pieces)
    outgoing.pieces = ((0.0, whole[: whole.index(b"\r\n\r\n") + 4]),)


def _compress(outgoing: Outgoing) -> None:
    """Replies that are one piece; streams and what is broken on purpose travel as they are."""
    if outgoing.end == "keep" and isinstance(outgoing.pieces, list | tuple) and len(outgoing.pieces) == 1:
        ((delay_s, reply),) = outgoing.pieces
        outgoing.pieces = ((delay_s, compressed(reply)),)
