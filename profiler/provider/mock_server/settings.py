"""What the server is told at its start, and what it decides to do with one request.

`ServerSettings` comes from the command line or a test. An `Outgoing` is all that a connection needs to know to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MAX_BODY = 32 << 20
REMEMBERED = 200_000  # dialogues or bodies, at about 250 bytes each

End = Literal["keep", "close", "reset", "hang"]


class LimitRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits a minute for the requests to some endpoints, of all models together or of those that a pattern fits."""

    endpoint: str = "messages"
    model: str | None = None
    each_model: bool = False  # every model has buckets of its own, as it has at the provider
    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    input_tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None
    output_tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the server answers. The defaults answer everything at once and refuse nothing valid."""

    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    key: str | None = None
    seed: int = 0
    static: bool = False
    responses_path: Path | None = None
    dataset_path: Path | None = None
    models: tuple[str, ...] = ()
    tool_rate: float = 0.5
    vary: bool = False
    output_tokens: float | None = None
    output_sigma: float = 0.5
    latency_s: float = 0.0
    latency_sigma: float = 0.0
    stall_rate: float = 0.0
    stall_s: float = 10.0
    ttft_s: float = 0.0
    tokens_per_second: float | None = None
    input_tokens_per_second: float | None = None
    jitter: float = 0.0
    stream_stall_rate: float = 0.0
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    burst_s: float = 60.0
    concurrency_limit: int | None = None
    faults: dict[str, float] = {}
    script_path: Path | None = None
    script: Sequence[Any] = ()  # the entries themselves, after those of the file
    trickle_s: float = 2.0
    limits: Sequence[LimitRule] = ()
    batch_s: float = 0.0
    batch_sigma: float = 0.0
    batch_cancel_s: float = 0.0
    batch_queue: int | None = None
    file_storage_bytes: int = 1 << 30
    journal_bytes: int = 16 << 20
    remember: int = REMEMBERED
    cors: Sequence[str] = ()
    gzip: bool = False
    max_body: int = MAX_BODY
    max_batch_body: int = 256 << 20
    max_file_body: int = 500 << 20
    request_timeout_s: float = 30.0
    idle_timeout_s: float = 120.0


class Outgoing(msgspec.Struct, kw_only=True):
    """What is done with one request: wait and write, piece by piece, then end."""

    pieces: Iterable[tuple[float, bytes]]
    end: End = "keep"
    endpoint: str
    status: int
    counted: bool = True
    asked: str | None = None  # which dialogue or body this call was for
    entry: Any = None  # its line of the journal


class ApiError(Exception):
    """A reply that says no, in the provider's words."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        """`code` says more than `kind` does; the provider has one for a few errors only."""
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.code = code
        self.retry_after = retry_after
        self.delay_s = 0.0

    def body(self, request_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.code is not None:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str, *, code: str | None = None) -> ApiError:
    return ApiError(400, "invalid_request_error", message, code=code)


def not_found(message: str, *, code: str | None = None) -> ApiError:
    return ApiError(404, "not_found_error", message, code=code)
