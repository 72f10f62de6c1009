"""What can go wrong by name, and what is sent instead of the answer when it does. `fault_script` chooses who meets it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from profiler.core.json import dumps
from profiler.provider.mock_server.settings import ApiError
from profiler.provider.mock_server.wire.reply_bytes import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.provider.mock_server.settings import End

TRICKLED_PIECES = 40
HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>\n"

STATUSES = {
    "400": (400, "invalid_request_error", "the request was invalid"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "402": (402, "billing_error", "your credit balance is too low"),
    "403": (403, "permission_error", "your API key has no permission for this"),
    "404": (404, "not_found_error", "the requested resource was not found"),
    "408": (408, "timeout_error", "the request took too long to arrive"),
    "409": (409, "conflict_error", "the resource is in another state"),
    "413": (413, "request_too_large", "Request exceeds the maximum size"),
    "422": (422, "invalid_request_error", "the request could not be processed"),
    "429": (429, "rate_limit_error", "this request would exceed your rate limit"),
    "500": (500, "api_error", "Internal server error"),
    "503": (503, "api_error", "service unavailable"),
    "504": (504, "timeout_error", "the request timed out"),
    "529": (529, "overloaded_error", "Overloaded"),
}
RETRY_AFTER = {  # what a 429 asks for; names without a line ask for nothing
    "429": "1",
    "429-zero": "0",
    "429-negative": "-5",
    "429-fraction": "0.25",
    "429-absurd": "31536000",
    "429-text": "soon",
    "429-ramp": "1",
}
RETRY_DATES_S = {"429-date": 2.0, "429-past": -3600.0}  # as an HTTP date, so far from now
ERROR_CODES = {
    "429-spend-limit": "enforced_spend_limit_reached",
    "429-contract-limit": "contract_spend_limit_reached",
    "429-ramp": "ramp_limit_exceeded",
}
WRONG_REPLIES = ("502", "html", "wrong-type", "wrong-json", "broken-json", "empty")
BROKEN_TRANSPORTS = ("reset", "close", "hang", "half-head", "half-body", "half-reset", "half-hang", "trickle")
OTHERS = ("429-none", "huge", "stream-error")
BATCH_CREATE_FAULTS = ("create-lost", "create-500", "batch-unseen", "batch-stuck")
BATCH_RESULTS_FAULTS = ("results-missing", "results-double", "results-unknown", "results-torn")
NAMES = tuple(dict.fromkeys((*STATUSES, *RETRY_AFTER, *RETRY_DATES_S, *ERROR_CODES, *OTHERS)))
NAMES += WRONG_REPLIES + BROKEN_TRANSPORTS + BATCH_CREATE_FAULTS + BATCH_RESULTS_FAULTS
ONLY_AT = {  # faults that mean something at one endpoint alone
    **dict.fromkeys(("huge", "stream-error"), "messages"),
    **dict.fromkeys(BATCH_CREATE_FAULTS, "batches.create"),
    **dict.fromkeys(BATCH_RESULTS_FAULTS, "batches.results"),
}
OK = "ok"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a script, or a fault drawn by its rate.

    With `endpoint`, `model`, `dialogue_id` or `contains` it is a rule for every request that fits, else the fault of
    one request after the other. `status`, `headers` and `body` are a reply of the script's own.
    """

    fault: str = OK
    delay_s: Annotated[float, Meta(ge=0)] = 0.0
    retry_after: str | None = None
    error_code: str | None = None
    endpoint: str | None = None
    model: str | None = None
    dialogue_id: str | None = None
    contains: str | None = None
    times: Annotated[int, Meta(ge=1)] | None = None
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    headers: dict[str, str] | None = None
    body: Any = None
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    for_s: Annotated[float, Meta(ge=0)] = 5.0

    @property
    def is_rule(self) -> bool:
        return any(value is not None for value in (self.endpoint, self.model, self.dialogue_id, self.contains))

    @property
    def is_own_reply(self) -> bool:
        return self.status is not None or self.body is not None

    @property
    def at(self) -> str:
        """The endpoints it is for."""
        return self.endpoint or ONLY_AT.get(self.fault, "messages")


NO_FAULT = Fault()


def error_of(fault: Fault, *, wall: float) -> ApiError | None:
    """The error reply that a fault stands for; None for faults of another kind."""
    name = fault.fault
    kind = "429" if name.startswith("429-") else name
    if kind not in STATUSES:
        return None
    status, error_type, message = STATUSES[kind]
    wait = RETRY_AFTER.get(name)
    if (offset := RETRY_DATES_S.get(name)) is not None:
        wait = datetime.fromtimestamp(wall + offset, UTC).strftime(HTTP_DATE)
    return ApiError(
        status,
        error_type,
        message,
        code=fault.error_code or ERROR_CODES.get(name),
        retry_after=fault.retry_after if fault.retry_after is not None else wait,
    )


def own_reply(fault: Fault, *, status: int) -> tuple[int, str, bytes]:
    """The reply that a script writes itself: status, content type and body. Text is sent as it stands."""
    plain = isinstance(fault.body, str)
    content_type = "text/plain; charset=utf-8" if plain else "application/json"
    for name, value in (fault.headers or {}).items():
        if name.lower() == "content-type":
            content_type = value
    body = fault.body.encode() if plain else dumps(fault.body)
    return fault.status or status, content_type, body


def wrong_reply(name: str, answer: bytes, *, fields: bytes) -> bytes:
    """A reply that is not what was asked for; `answer` is the body it should have."""
    match name:
        case "502":
            return render(502, HTML, fields=fields, content_type="text/html")
        case "html":
            return render(200, HTML, fields=fields, content_type="text/html")
        case "wrong-type":
            return render(200, answer, fields=fields, content_type="text/plain")
        case "wrong-json":
            return render(200, dumps({"status": "fine", "result": [1, 2, 3]}), fields=fields)
        case "broken-json":
            return render(200, answer[: len(answer) // 2], fields=fields)
        case _:
            return render(200, b"", fields=fields)


def broken_transport(name: str, reply: bytes, *, trickle_s: float) -> tuple[Sequence[tuple[float, bytes]], End]:
    """How a whole reply goes wrong on its way."""
    head_end = reply.index(b"\r\n\r\n") + 4
    half = reply[: (head_end + len(reply)) // 2]
    match name:
        case "reset" | "close" | "hang":
            return (), name
        case "half-head":
            return ((0.0, reply[: head_end // 2]),), "close"
        case "half-body":
            return ((0.0, half),), "close"
        case "half-reset":
            return ((0.0, half), (0.05, b"")), "reset"
        case "half-hang":
            return ((0.0, half),), "hang"
        case _:
            size = -(-len(reply) // TRICKLED_PIECES)
            cut = [reply[start : start + size] for start in range(0, len(reply), size)]
            return [(trickle_s / len(cut), piece) for piece in cut], "keep"
