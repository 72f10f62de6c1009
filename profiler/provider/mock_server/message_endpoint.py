"""The endpoint for messages: what a call gets, what one request of a batch gets, and how many tokens a prompt has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.json import JSONDecodeError, loads
from profiler.provider.mock_server.admission.calls import Call, ServerReply, json_reply
from profiler.provider.mock_server.admission.chance import draws
from profiler.provider.mock_server.admission.fault_script import Subject
from profiler.provider.mock_server.admission.faults import error_of
from profiler.provider.mock_server.admission.rate_limits import Need
from profiler.provider.mock_server.delivery.message_delivery import STILL_ANSWERS, deliver
from profiler.provider.mock_server.delivery.pace import latency, pace_of
from profiler.provider.mock_server.delivery.reply_delivery import deliver_reply
from profiler.provider.mock_server.endpoints import BATCH_ITEM, MESSAGE, MESSAGES
from profiler.provider.mock_server.plain_chat import PlainChat
from profiler.provider.mock_server.settings import ApiError, Outgoing, ServerSettings, invalid
from profiler.provider.mock_server.static_answer import STATIC, STATIC_BODY, STATIC_STREAM, wants_stream
from profiler.provider.mock_server.wire.reply_bytes import render, render_stream_head

if TYPE_CHECKING:
    from profiler.provider.mock_server.admission.admission import Admission
    from profiler.provider.mock_server.admission.chance import Draws
    from profiler.provider.mock_server.clock import Clock
    from profiler.provider.mock_server.delivery.pace import Pace
    from profiler.provider.mock_server.history.counters import Stats
    from profiler.provider.mock_server.messages import Messages, Question
    from profiler.provider.mock_server.reading.requests import Version
    from profiler.provider.mock_server.stored.batch import Item


class MessageEndpoint:
    """`/v1/messages` with all that can happen to it; what is said is up to `messages`."""

    def __init__(
        self, settings: ServerSettings, *, messages: Messages, admission: Admission, stats: Stats, clock: Clock
    ) -> None:
        self._settings = settings
        self._messages = messages
        self._admission = admission
        self._stats = stats
        self._clock = clock
        self._latency_s = settings.latency_s
        self._plain = PlainChat(settings, messages.models)
        self.answers_plain = self._plain.possible
        self._varies = bool(settings.latency_sigma or settings.stall_rate)
        rates = (settings.tokens_per_second, settings.input_tokens_per_second, settings.stream_stall_rate)
        # every message takes as long, so that little has to be looked at
        self.steady = not (self._varies or settings.ttft_s or settings.jitter or any(rates))

    def create(self, call: Call) -> Outgoing:
        question = self._messages.read(call.body, version=call.version, named=call.headers.get("x-dialogue-id"))
        stream = question.asked.wanted.stream
        if stream and call.request.head.http_1_0:
            raise invalid("stream: needs HTTP/1.1")
        answer = self._messages.answer(question, now=call.now)
        self._admission.admit(call, _need(answer.message, model=question.asked.wanted.model))
        key = f"{question.name} {self._stats.ask(question.name)}"
        drawn = self._draws(key)
        if drawn is not None:
            said = self._admission.meet(
                call, _subject(question, endpoint=MESSAGE.name, draw=drawn.fault), stream=stream
            )
            if said is not None:
                return self._own_reply(said, call)
        pace = self._pace(answer.message, key, drawn)
        outgoing = self._deliver(answer.message, call, pace, stream=stream, asked=question.name)
        # the model begins to write at the same moment, whether anybody watches it or not
        self._messages.given(answer, now=call.now, begins_at=call.now + pace.first_s + call.fault.delay_s)
        return outgoing

    def create_plain(self, body: bytes, *, fields: bytes) -> Outgoing | None:
        """Plain chat, where nothing can happen to it; None for whatever needs a closer look."""
        answer = self._plain.answer(body)
        if answer is None:
            return None
        self._stats.ask(answer.name)
        self._stats.spend_tokens(answer.input_tokens, answer.output_tokens)
        reply = render(200, answer.body, fields=fields)
        return Outgoing(pieces=((self._latency_s, reply),), endpoint=MESSAGES, status=200, asked=answer.name)

    def create_static_at_once(self, body: bytes, *, fields: bytes) -> Outgoing:
        """The one reply of a static server, where nothing can happen to it."""
        self._stats.spend(STATIC["usage"])
        if wants_stream(body):
            reply = render_stream_head(fields=fields) + STATIC_STREAM
        else:
            reply = render(200, STATIC_BODY, fields=fields)
        return Outgoing(pieces=((self._latency_s, reply),), endpoint=MESSAGES, status=200)

    def create_static(self, call: Call) -> Outgoing:
        """One reply for everything, without a look at the request."""
        self._admission.admit(call, _need(STATIC, model=STATIC["model"]))
        drawn = self._draws(call.request_id)
        if drawn is not None:
            named = call.headers.get("x-dialogue-id", "")
            said = self._admission.meet(call, Subject(endpoint=MESSAGE.name, dialogue_id=named, draw=drawn.fault))
            if said is not None:
                return self._own_reply(said, call)
        return self._deliver(STATIC, call, self._pace(STATIC, call.request_id, drawn), stream=False, asked=None)

    def count(self, call: Call) -> ServerReply:
        return json_reply(self._messages.count(call.body, version=call.version))

    def answer_item(self, item: Item, version: Version) -> dict[str, Any]:
        """How one request of a batch ended that was processed."""
        try:
            question = self._messages.read_params(_params(item), version=version)
            if question.asked.wanted.stream:
                raise invalid("stream: is not possible in a batch")
            self._meet_item_fault(question)
        except ApiError as error:
            return {"type": "errored", "error": {**error.body(""), "request_id": None}}
        now = self._clock.now()
        answer = self._messages.answer(question, now=now)
        self._messages.given(answer, now=now, begins_at=now)
        usage = answer.message["usage"]
        self._stats.spend(usage)
        self._stats.answer(question.name)
        return {"type": "succeeded", "message": {**answer.message, "usage": {**usage, "service_tier": "batch"}}}

    def _meet_item_fault(self, question: Question) -> None:
        times = self._stats.ask(question.name)
        if not self._admission.faults:
            return
        drawn = draws(self._settings.seed, f"{question.name} {times}")
        fault = self._admission.draw(_subject(question, endpoint=BATCH_ITEM, draw=drawn.fault))
        if (error := error_of(fault, wall=self._clock.wall())) is not None:
            raise error

    def _draws(self, key: str) -> Draws | None:
        """What is drawn for a call, where anything is left to chance."""
        return draws(self._settings.seed, key) if self._varies or self._admission.faults else None

    def _pace(self, message: dict[str, Any], key: str, drawn: Draws | None) -> Pace:
        settings = self._settings
        latency_s = settings.latency_s if drawn is None else latency(settings, drawn)
        return pace_of(settings, message["usage"], call=key, latency_s=latency_s)

    def _own_reply(self, said: ServerReply, call: Call) -> Outgoing:
        return deliver_reply(said, call, fields=self._admission.fields(call), trickle_s=self._settings.trickle_s)

    def _deliver(self, message: dict[str, Any], call: Call, pace: Pace, *, stream: bool, asked: str | None) -> Outgoing:
        pieces, end, status = deliver(
            message,
            stream=stream,
            fields=self._admission.fields(call),
            fault=call.fault,
            pace=pace,
            trickle_s=self._settings.trickle_s,
        )
        self._stats.spend(message["usage"])
        answered = asked if call.fault.fault in STILL_ANSWERS else None
        return Outgoing(pieces=pieces, end=end, endpoint=MESSAGES, status=status, asked=answered)


def _params(item: Item) -> Any:
    try:
        return loads(bytes(item.params))
    except JSONDecodeError as error:
        raise invalid(f"params: is not valid JSON: {error}") from None


def _need(message: dict[str, Any], *, model: str) -> Need:
    usage = message["usage"]
    return Need(
        endpoint=MESSAGE.name,
        model=model,
        # what is read from the cache does not count against the limit of input tokens
        input_tokens=usage["input_tokens"] + usage["cache_creation_input_tokens"],
        output_tokens=usage["output_tokens"],
    )


def _subject(question: Question, *, endpoint: str, draw: float) -> Subject:
    wanted = question.asked.wanted
    return Subject(
        endpoint=endpoint,
        draw=draw,
        model=wanted.model,
        dialogue_id=question.asked.dialogue.dialogue_id,
        text=wanted.asked()[0],
    )
