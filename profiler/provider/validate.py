"""Checks each reply and failure of every client before the engine believes it.

A run that was paid for must come to its end whatever a provider, or somebody's own client, returns. So what can be kept
is kept: a usage that cannot be counted becomes empty, which everybody reads as "not known", and half a character
becomes U+FFFD. What is no reply at all becomes a `CallError`, an error of its dialogue alone. A warning is given once
for each kind of oddity.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from profiler.core import own_code
from profiler.core.errors import LONGEST_RETRY_AFTER_S, CallError
from profiler.core.json import encode, whole_characters
from profiler.core.nouns import LARGEST_COUNT, RateHeaders, Reply
from profiler.core.wording import found, printable, shortened, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from profiler.core.nouns import Request
    from profiler.provider.client import Client

LONGEST_KIND = 60
FAULTS_BEFORE_GIVING_UP = 5  # only while nothing has been answered yet
# Objects within a usage that hold counts. A field is a count when its name ends like one.
NESTED = frozenset({"output_tokens_details", "cache_creation", "server_tool_use"})
COUNTS = ("_tokens", "_requests")
TIMES = frozenset({"latency_s", "ttft_s", "gaps_s", "writing_s"})
LONGEST_TIME_S = 1e9  # no call lasts thirty years, and times are added up and counted


class Checked:
    """A client with the check of its replies and failures, which makes them something that the engine can count and write.

    Whoever makes the call passes what it returns to `reply`, and what it raises to `failure`; a coroutine around every
    call would cost more than both. Any exception of an `own` client (one that a user wrote) is the failure of that one
    dialogue. An exception of a built-in client is a bug of ours.
    """

    def __init__(self, client: Client, *, own: bool = False, tell: Callable[[str], None] = silent) -> None:
        self.call = client.complete
        self._own = own
        self._tell = tell
        self._told: set[str] = set()
        self._answered_any = False
        self._faults = 0

    def reply(self, request: Request, reply: Reply) -> Reply:
        """The reply as it can be counted. Raises `CallError` for what is none."""
        if type(reply) is not Reply or type(reply.completion) is not str:
            raise self._no_reply(request, reply)
        self._answered_any = True
        if not self._own and (is_usual(reply.usage) or uncounted(reply.usage) is None):
            return reply  # our own clients have decoded the other fields by their types already
        return self._mended(request, reply)

    def failure(self, request: Request, error: BaseException) -> CallError | None:
        """The failure of the call that an exception stands for; None if it must be raised again."""
        if isinstance(error, CallError):
            mend_failure(error)
            return error
        if not self._own or not isinstance(error, Exception | SystemExit | asyncio.CancelledError):
            return None
        return None if cancelled_by_us(error) else self._fault(request, error)

    def _mended(self, request: Request, reply: Reply) -> Reply:
        """The reply without what cannot be counted or written; each kind of problem is reported once."""
        changes: dict[str, Any] = {}
        if reason := uncounted(reply.usage) or _unwritable("usage", reply.usage, dict[str, Any]):
            changes["usage"] = {}
            self._tell_once("usage", request, f"{reason}; the usage of such a reply is null and its cost unknown")
        for name in _impossible_fields(reply):
            value = getattr(reply, name)
            mended = {"completion": whole_characters(reply.completion), "metadata": {}, "gaps_s": ()}
            changes[name] = mended.get(name)
            self._tell_once(name, request, f"{name}: found {found(value)}, which cannot be written down as it is")
        return msgspec.structs.replace(reply, **changes) if changes else reply

    def _no_reply(self, request: Request, reply: object) -> CallError:
        what = f"completion {found(reply.completion)}" if type(reply) is Reply else found(reply)
        return self._counted(
            CallError(
                "bad_reply", f"the client answered {request.dialogue.dialogue_id!r} with {what}, expected a Reply"
            )
        )

    def _fault(self, request: Request, error: BaseException) -> CallError:
        """The failure for an exception of the client.

        Its traceback is shown once; the file and line stand in every record.
        """
        said, told = f"the client failed: {own_code.said(error)}", own_code.their_traceback(error)
        self._tell_once("fault", request, said + (f"\n{told}" if told else ""))
        failure = CallError("client_fault", said)
        mend_failure(failure)
        return self._counted(failure)

    def _counted(self, failure: CallError) -> CallError:
        """Makes the failure fatal when all of the first calls failed: the rest would fail too."""
        self._faults += 1
        if not self._answered_any and self._faults >= FAULTS_BEFORE_GIVING_UP:
            failure.fatal = True
            failure.message = f"all of the first {FAULTS_BEFORE_GIVING_UP} calls failed so: {failure.message}"
        return failure

    def _tell_once(self, kind: str, request: Request, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(f"{printable(request.dialogue.dialogue_id)}: {text} (told once; others may be alike)")


def mend_failure(error: CallError) -> None:
    """Give every field of the exception a value that can be compared, written and shown, whatever it held."""
    get = error.__dict__.get
    error.kind = shortened(" ".join(printable(_text(get("kind"))).split()) or "unknown", LONGEST_KIND)
    error.message = shortened(printable(_text(get("message")) or _text(error)))
    error.args = (error.message,)
    status, asked = get("status"), get("retry_after_s")
    error.status = status if type(status) is int and 100 <= status <= 599 else None
    request_id = get("request_id")
    error.request_id = printable(_text(request_id)) if request_id is not None else None
    error.retryable, error.fatal, error.ramp = (bool(get(name)) for name in ("retryable", "fatal", "ramp"))
    error.sent = bool(get("sent", True))
    error.retry_after_s = None
    if isinstance(asked, int | float) and asked == asked:  # noqa: PLR0124 (all but NaN, however large)
        error.retry_after_s = float(min(max(asked, 0.0), LONGEST_RETRY_AFTER_S))
    error.limits = limits if _is_sound(limits := get("limits"), RateHeaders | None) else None


_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)] | None


class _CacheCreation(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    ephemeral_5m_input_tokens: _Count = None
    ephemeral_1h_input_tokens: _Count = None


class _ServerToolUse(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    web_search_requests: _Count = None
    web_fetch_requests: _Count = None


class _OutputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    thinking_tokens: _Count = None


class _UsualUsage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The usage as providers send it today. Decoding into it is one check in C that most usages pass."""

    input_tokens: _Count = None
    output_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerToolUse | None = None
    service_tier: Any = None
    inference_geo: Any = None
    speed: Any = None
    iterations: Any = None
    fallback_credit: Any = None


def is_usual(usage: object) -> bool:
    """Whether a usage that was decoded from JSON has nothing but what is known, all of it as it should be."""
    try:
        msgspec.convert(usage, _UsualUsage)
    except (msgspec.ValidationError, OverflowError):
        return False
    return True


def uncounted(usage: object) -> str | None:
    """Why a usage cannot be counted or priced; None when it can."""
    if type(usage) is not dict:
        return f"usage: found {found(usage)}, expected an object of counts"
    for name, count in usage.items():
        if count is None or (type(count) is int and 0 <= count <= LARGEST_COUNT and name not in NESTED):
            continue
        if name in NESTED:
            if type(count) is not dict:
                return f"usage.{name}: found {found(count)}, expected an object"
            if (reason := uncounted(count)) is not None:
                return reason.replace("usage.", f"usage.{name}.", 1)
        elif str(name).endswith(COUNTS):
            return (
                f"usage.{printable(str(name))}: found {found(count)}, expected a whole number from 0 to {LARGEST_COUNT}"
            )
    return None


def _impossible_fields(reply: Reply) -> Iterator[str]:
    """Names of fields whose values do not fit their types, or that no file can hold."""
    if _is_sound(reply, Reply) and all(map(_is_time, _times(reply))):
        return
    for field in msgspec.structs.fields(Reply):
        value = getattr(reply, field.name)
        if field.name == "usage":  # has its own check
            continue
        if not _is_sound(value, field.type) or (field.name in TIMES and not all(map(_is_time, _listed(value)))):
            yield field.name


def _unwritable(name: str, value: object, annotation: Any) -> str | None:
    return None if _is_sound(value, annotation) else f"{name}: found {found(value)}, which cannot be written down"


def _is_sound(value: object, annotation: Any) -> bool:
    """Whether the value survives being encoded and decoded: msgspec checks types only while decoding."""
    try:
        msgspec.json.decode(encode(value), type=annotation)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return False
    return True


def _is_time(seconds: float | None) -> bool:
    return seconds is None or 0.0 <= seconds <= LONGEST_TIME_S


def _times(reply: Reply) -> tuple[float | None, ...]:
    return reply.latency_s, reply.ttft_s, reply.writing_s, *reply.gaps_s


def _listed(value: Any) -> tuple[float | None, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else str(value)
    except Exception:  # noqa: BLE001 (what people wrote may raise anything)
        return type(value).__name__


def cancelled_by_us(error: BaseException) -> bool:
    """Whether the engine cancelled this call. A client may also raise `CancelledError` by itself, which is a fault."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
