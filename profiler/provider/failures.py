"""What an error of the provider means: status, headers and body become one `CallError`.

Every live client uses this table. It says whether a failure may pass; whether to try again is for `engine.calls.attempt`.
"""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import LONGEST_RETRY_AFTER_S, CallError
from profiler.core.wording import LONGEST_MESSAGE, shortened
from profiler.provider.messages import limits_of, request_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.provider.messages import NotAMessage
    from profiler.provider.redact import Redactor

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class Kind(msgspec.Struct, frozen=True):
    """The name of a failure and what it means.

    `retryable`: it may pass by itself. `fatal`: every other call would fail in the same way.
    """

    name: str
    retryable: bool = False
    fatal: bool = False


SERVER_ERROR = Kind("server_error", retryable=True)
BY_STATUS = {
    400: Kind("invalid_request"),
    401: Kind("authentication", fatal=True),
    402: Kind("billing", fatal=True),
    403: Kind("permission", fatal=True),
    404: Kind("not_found"),
    408: Kind("timeout", retryable=True),
    409: Kind("conflict", retryable=True),
    413: Kind("request_too_large"),
    422: Kind("unprocessable"),
    429: Kind("rate_limited", retryable=True),
    529: Kind("overloaded", retryable=True),
}
# An error inside a stream has no status of its own, only a type. These are the types of the SDK's `ErrorType`.

BY_TYPE = {
    "invalid_request_error": BY_STATUS[400],
    "authentication_error": BY_STATUS[401],
    "billing_error": BY_STATUS[402],
    "permission_error": BY_STATUS[403],
    "not_found_error": BY_STATUS[404],
    "timeout_error": BY_STATUS[408],
    "conflict_error": BY_STATUS[409],
    "request_too_large": BY_STATUS[413],
    "rate_limit_error": BY_STATUS[429],
    "api_error": SERVER_ERROR,
    "overloaded_error": BY_STATUS[529],
    "validationException": BY_STATUS[400],  # Bedrock's own names
    "throttlingException": BY_STATUS[429],
    "modelTimeoutException": BY_STATUS[408],
}
SPEND_LIMIT = Kind("spend_limit", fatal=True)
SPEND_LIMIT_CODES = "spend_limit_reached"  # the codes end with it: contract_, enforced_ and linked_organization_…
RAMP_CODE = "ramp_limit_exceeded"


class Detail(msgspec.Struct, frozen=True):
    error_code: str | None = None


class Said(msgspec.Struct, frozen=True):
    """The error as the provider words it."""

    type: str | None = None
    message: str | None = None
    details: Detail | None = None

    @property
    def code(self) -> str:
        return (self.details.error_code or "") if self.details is not None else ""


class ErrorBody(msgspec.Struct, frozen=True):
    error: Said
    request_id: str | None = None


_decode = msgspec.json.Decoder(ErrorBody).decode


def failure_of(status: int, headers: Mapping[str, str], body: bytes, *, redact: Redactor) -> CallError:
    """The failure that a response with a status other than 200 stands for."""
    told = _told(body)
    said, kind = told.error, _kind(status, told.error)
    return CallError(
        kind.name,
        shortened(redact(said.message or _described(status, headers, body))),
        status=status,
        request_id=redact(request_id_of(headers) or told.request_id or "") or None,
        retryable=kind.retryable,
        retry_after_s=retry_after_s(headers),
        fatal=kind.fatal,
        ramp=said.code == RAMP_CODE,
        limits=limits_of(headers),
    )


def bad_reply(problem: NotAMessage, headers: Mapping[str, str], body: bytes, *, redact: Redactor) -> CallError:
    """The failure for a response with status 200 whose body is not a message.

    Text that is not JSON comes from something in between (a gateway, a login page) and may pass. JSON of the wrong
    shape will be the same next time.
    """
    if _told(body).error.type is not None:
        return failure_in_stream(body, headers, redact=redact)
    found = headers.get("content-type") or "no content type"
    text = f"found {len(body)} bytes of {found} that are no message ({problem}): {_text(body)}"
    return CallError(
        "nested_too_deep" if problem.deep else "bad_reply",
        shortened(redact(text)),
        status=200,
        request_id=redact(request_id_of(headers) or "") or None,
        retryable=not problem.legible,
        limits=limits_of(headers),
    )


def failure_in_stream(body: bytes, headers: Mapping[str, str], *, redact: Redactor) -> CallError:
    """The failure for an error event that came after the stream had begun with status 200."""
    said = _told(body).error
    kind = SPEND_LIMIT if said.code.endswith(SPEND_LIMIT_CODES) else BY_TYPE.get(said.type or "", SERVER_ERROR)
    return CallError(
        kind.name,
        shortened(redact(said.message or _text(body))),
        status=200,
        request_id=redact(request_id_of(headers) or "") or None,
        retryable=kind.retryable,
        fatal=kind.fatal,
        ramp=said.code == RAMP_CODE,
        limits=limits_of(headers),
    )


def _kind(status: int, said: Said) -> Kind:
    """The error's code and type are asked before the status, because they say more: a 400 may be a spend limit."""
    if said.code.endswith(SPEND_LIMIT_CODES):
        return SPEND_LIMIT
    if said.type == "billing_error":
        return BY_STATUS[402]
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= 500:
        return SERVER_ERROR
    return BY_STATUS[400] if status >= 400 else Kind("bad_reply")


def _told(body: bytes) -> ErrorBody:
    """The error object in the body; one that says nothing when the body is something else."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorBody(Said())


def _described(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Words for a response whose body holds no message of its own."""
    try:
        name = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        name = str(status)
    if 300 <= status < 400:
        return f"{name} to {headers.get('location')!r}; redirects are not followed, set base_url to where it points"
    text = _text(body)
    return f"{name}: {text}" if text else name


def _text(body: bytes) -> str:
    """The beginning of a body as one line of text, without the tags of an HTML error page."""
    text = body[: 8 * LONGEST_MESSAGE].decode("utf-8", "replace")
    return shortened(" ".join(_TAGS.sub(" ", text).split()))


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait according to the headers, from 0 (the moment has passed) to `LONGEST_RETRY_AFTER_S`; None if they say
    nothing."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000.0)
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is None:
        moment = _moment(asked)
        if moment is None:
            return None
        # The moment is compared with the provider's own clock (the Date header) where it is sent: ours may be wrong.
        base = _moment(headers.get("date"))
        seconds = moment - (base if base is not None else time.time() if now is None else now)
    return _bounded(seconds)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _moment(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError, IndexError):
        return None
