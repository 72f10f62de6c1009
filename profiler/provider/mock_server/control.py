"""What the server does for whoever runs the tests: `/__stats`, `/__requests`, `/__clock`, `/__faults` and so on.

Nobody else may have it: no page of a browser, and beyond this machine nobody without the key.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import Meta

from profiler.core.errors import ProfilerError
from profiler.core.json import dumps
from profiler.provider.mock_server.admission.admission import Admission, FaultSpec, LimitSpec
from profiler.provider.mock_server.admission.calls import ServerReply, json_reply
from profiler.provider.mock_server.clock import written
from profiler.provider.mock_server.history.journal import as_lines
from profiler.provider.mock_server.reading.requests import authenticate
from profiler.provider.mock_server.settings import ApiError, invalid, not_found
from profiler.provider.mock_server.wire import paging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from profiler.provider.mock_server.clock import Clock
    from profiler.provider.mock_server.history.journal import Journal
    from profiler.provider.mock_server.settings import ServerSettings
    from profiler.provider.mock_server.stored.files import Files
    from profiler.provider.mock_server.wire.request_parser import Incoming

Spec = TypeVar("Spec")

PREFIX = "/__"
LONGEST_STEP_S = 10 * 365 * 86400.0


class ClockSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance_s: Annotated[float, Meta(ge=0, le=LONGEST_STEP_S)]


class Controlled(Protocol):
    """What a server lets be looked at and changed while it runs."""

    settings: ServerSettings
    admission: Admission
    clock: Clock
    journal: Journal
    files: Files

    def snapshot(self, *, asked: bool = False) -> dict[str, Any]: ...

    def reset(self) -> None: ...


class Control:
    def __init__(self, server: Controlled) -> None:
        self._server = server
        self._actions: dict[tuple[str, str], Callable[[Incoming], ServerReply]] = {
            ("GET", "/__stats"): self._stats,
            ("POST", "/__reset"): self._reset,
            ("GET", "/__requests"): self._requests,
            ("GET", "/__clock"): lambda _: json_reply(self._time()),
            ("POST", "/__clock"): self._move_clock,
            ("GET", "/__faults"): lambda _: _as_reply(self._server.admission.fault_spec()),
            ("POST", "/__faults"): self._change_faults,
            ("GET", "/__limits"): lambda _: _as_reply(self._server.admission.limit_spec),
            ("POST", "/__limits"): self._change_limits,
            ("POST", "/__files"): self._add_file,
        }

    @property
    def paths(self) -> list[tuple[str, str]]:
        return list(self._actions)

    def respond(self, request: Incoming) -> ServerReply:
        head = request.head
        _check_sender(head.headers, self._server.settings)
        action = self._actions.get((head.method, head.path))
        if action is not None:
            try:
                return action(request)
            except ProfilerError as error:
                raise invalid("; ".join(filter(None, (str(error), error.hint)))) from error
        allowed = [method for method, path in self._actions if path == head.path]
        if allowed:
            message = f"{head.path}: found {head.method[:20]}, expected {' or '.join(allowed)}"
            raise ApiError(405, "invalid_request_error", message)
        paths = ", ".join(sorted({path for _, path in self._actions}))
        raise not_found(f"{head.path[:200]}: there is no such endpoint, only {paths}")

    def _stats(self, request: Incoming) -> ServerReply:
        return json_reply(self._server.snapshot(asked="asked" in request.head.query))

    def _reset(self, request: Incoming) -> ServerReply:
        before = self._server.snapshot(asked="asked" in request.head.query)
        self._server.reset()
        return json_reply(before)

    def _requests(self, request: Incoming) -> ServerReply:
        lines = self._server.journal.lines(paging.asked(request.head.query))
        return ServerReply(body=as_lines(lines), content_type="application/jsonl")

    def _time(self) -> dict[str, Any]:
        clock = self._server.clock
        return {"now": written(clock.wall()), "ahead_s": clock.ahead_s}

    def _move_clock(self, request: Incoming) -> ServerReply:
        self._server.clock.advance(_read(request.body, ClockSpec).advance_s)
        return json_reply(self._time())

    def _change_faults(self, request: Incoming) -> ServerReply:
        self._server.admission.set_faults(_read(request.body, FaultSpec))
        return _as_reply(self._server.admission.fault_spec())

    def _change_limits(self, request: Incoming) -> ServerReply:
        self._server.admission.set_limits(_read(request.body, LimitSpec))
        return _as_reply(self._server.admission.limit_spec)

    def _add_file(self, request: Incoming) -> ServerReply:
        wanted = paging.asked(request.head.query)
        added = self._server.files.add(
            request.body,
            name=wanted.get("filename", ""),
            mime_type=request.head.headers.get("content-type"),
            wall=self._server.clock.wall(),
        )
        return json_reply(added)


def _check_sender(headers: Mapping[str, str], settings: ServerSettings) -> None:
    """A page in a browser on this machine can reach the server; only these headers tell it from a program."""
    own = f"http://{headers.get('host', '')}"
    foreign = headers.get("origin", own) != own or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if foreign:
        raise ApiError(403, "permission_error", "This is never answered for another origin")
    if is_loopback(settings.host):
        if not is_loopback(_host(headers)):  # a name that was made to point here
            raise ApiError(403, "permission_error", "host: expected the address of this machine")
        return
    if settings.key is None:
        raise ApiError(403, "permission_error", "A server that others can reach needs --key for this")
    authenticate(headers, settings.key)


def _host(headers: Mapping[str, str]) -> str:
    host = headers.get("host", "localhost")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(body: bytes, kind: type[Spec]) -> Spec:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(str(error)) from None


def _as_reply(spec: Any) -> ServerReply:
    return ServerReply(body=dumps(msgspec.to_builtins(spec)))
