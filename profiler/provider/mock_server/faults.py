"""What can be made to go wrong, by a rate or by a script.

Comes in: fault names with rates, or a file that says which request gets which fault. Goes out: for one request the
fault it gets, if any; and for a fault what is sent instead of the answer. Knows nothing of sockets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from profiler.core.errors import ManifestError, Problem, UsageError
from profiler.core.json import dumps
from profiler.core.wording import did_you_mean
from profiler.provider.mock_server.http import render
from profiler.provider.mock_server.settings import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

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
NAMES = tuple(dict.fromkeys((*STATUSES, *RETRY_AFTER, *RETRY_DATES_S, *ERROR_CODES, *OTHERS)))
NAMES += WRONG_REPLIES + BROKEN_TRANSPORTS
OK = "ok"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a script, or a fault drawn by its rate."""

    fault: str = OK
    delay_s: Annotated[float, Meta(ge=0)] = 0.0
    retry_after: str | None = None
    error_code: str | None = None
    dialogue_id: str | None = None
    contains: str | None = None
    times: Annotated[int, Meta(ge=1)] | None = None

    @property
    def is_rule(self) -> bool:
        return self.dialogue_id is not None or self.contains is not None


NO_FAULT = Fault()


class Faults:
    """Gives each request its fault: rules of the script first, then its sequence, then the rates."""

    def __init__(self, *, rates: dict[str, float], script: Sequence[Fault] = ()) -> None:
        self._rates = rates
        self._script = script
        self.reset()

    def __bool__(self) -> bool:
        return bool(self._rates or self._script)

    def reset(self) -> None:
        """The script begins again."""
        self._rules = [(fault, [fault.times or -1]) for fault in self._script if fault.is_rule]
        self._sequence = (fault for fault in self._script if not fault.is_rule for _ in range(fault.times or 1))

    def next(self, *, dialogue_id: str, text: str, draw: float) -> Fault:
        for rule, left in self._rules:
            if left[0] and _matches(rule, dialogue_id=dialogue_id, text=text):
                left[0] -= 1
                return rule
        if (scripted := next(self._sequence, None)) is not None:
            return scripted
        for name, rate in self._rates.items():
            if draw < rate:
                return Fault(fault=name)
            draw -= rate
        return NO_FAULT


def _matches(rule: Fault, *, dialogue_id: str, text: str) -> bool:
    return rule.dialogue_id in (None, dialogue_id) and (rule.contains is None or rule.contains in text)


def check_names(names: Iterable[str], *, where: str) -> None:
    for name in names:
        if name not in NAMES:
            hint = did_you_mean(name, NAMES) or f"faults are: {', '.join(NAMES)}"
            raise UsageError(f"{where}: found {name!r}, expected the name of a fault", hint=hint)


def check_rates(rates: dict[str, float]) -> None:
    check_names(rates, where="--fault")
    if sum(rates.values()) > 1 + 1e-9:
        raise UsageError(f"--fault: found rates of {sum(rates.values()):g} together, expected at most 1")


def load_script(path: Path) -> list[Fault]:
    """A JSON list: names of faults, "ok" or null for none, or objects that say more."""
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[Fault | str | None])
    except OSError as error:
        raise ManifestError([Problem(path=str(path), message=f"cannot read: {error.strerror}")]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = Problem(
            path=str(path),
            message=f"found a file that does not decode ({error}), expected a JSON list of faults",
            hint='such as ["429", "ok", {"fault": "500", "times": 3}, {"dialogue_id": "a", "fault": "hang"}]',
        )
        raise ManifestError([problem]) from error
    script = [entry if isinstance(entry, Fault) else Fault(fault=entry or OK) for entry in entries]
    check_names((fault.fault for fault in script if fault.fault != OK), where=str(path))
    return script


def error_of(fault: Fault, *, wall: float) -> ApiError | None:
    """The error reply that a fault stands for; None for faults of another kind."""
    name = fault.fault
    kind = "429" if name.startswith("429-") else name
    if kind not in STATUSES:
        return None
    status, error_type, message = STATUSES[kind]
    code = fault.error_code or ERROR_CODES.get(name)
    wait = RETRY_AFTER.get(name)
    if (offset := RETRY_DATES_S.get(name)) is not None:
        wait = datetime.fromtimestamp(wall + offset, UTC).strftime(HTTP_DATE)
    return ApiError(
        status,
        error_type,
        message,
        details={"error_code": code} if code else None,
        retry_after=fault.retry_after if fault.retry_after is not None else wait,
    )


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
