"""The nouns that travel through a run: Dialogue → Request → Reply → Record, and Outcome for the reduction.

Frozen msgspec structs: checked once where bytes enter, then trusted; ten times cheaper to make
than frozen dataclasses, and a run makes several for every dialogue. Knows nothing of files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Mode = Literal["mock", "live"]
RecordType = Literal["answer", "refusal", "truncated", "error"]
Role = Literal["user", "assistant"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    role: Role
    content: str | list[dict[str, Any]]


class Dialogue(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a dataset. Exactly one of `user`, `messages` and `turns` says what is asked."""

    dialogue_id: str
    user: str | None = None
    messages: tuple[Message, ...] | None = None
    turns: tuple[str, ...] | None = None
    system: str | None = None
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parts of a prompt the provider may keep for later requests."""

    system: Annotated[bool, Meta(description="Whether the system prompt ends a cached part.")] = True
    messages: Annotated[
        bool, Meta(description="Whether the newest message ends one too, for conversations of many turns.")
    ] = False
    ttl: Annotated[Literal["5m", "1h"], Meta(description="How long it is kept; 1h costs more to write.")] = "5m"

    @property
    def control(self) -> dict[str, str]:
        """The mark as it is sent."""
        return {"type": "ephemeral", "ttl": self.ttl}


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests of an experiment share; only what the manifest sets is sent."""

    model: str
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    thinking: dict[str, Any] | None = None
    effort: str | None = None
    cache: CacheSettings | None = None
    api_version: str | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call to make; multi-turn dialogues make several.

    `body` holds the bytes that a live client sends, `line` the dialogue's line of requests.jsonl.
    """

    index: int
    dialogue: Dialogue
    params: Params
    messages: tuple[dict[str, Any], ...]
    body: bytes
    line: bytes
    turn: int = 0
    attempt: int = 1


class RateHeader(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket as the provider sees it; `resets_at` is seconds since 1970 by the provider's clock."""

    limit: int | None = None
    remaining: int | None = None
    resets_at: float | None = None


class RateHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """What the `anthropic-ratelimit-*` headers of one reply said; None for a bucket they do not name."""

    requests: RateHeader | None = None
    tokens: RateHeader | None = None
    input_tokens: RateHeader | None = None
    output_tokens: RateHeader | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a client got for one request. `latency_s` is set only by clients that simulate time."""

    completion: str
    stop_reason: str | None
    model: str
    usage: dict[str, Any]
    request_id: str | None = None
    latency_s: float | None = None
    metadata: dict[str, Any] = {}
    limits: RateHeaders | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a dialogue has no reply; the `error` of its record."""

    type: str
    message: str
    status: int | None = None
    request_id: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of responses.jsonl, its fields in the order in which they are written."""

    dialogue_id: str
    index: int
    completion: str | None
    type: RecordType
    stop_reason: str | None
    model: str | None
    usage: dict[str, Any] | None
    latency_s: float | None
    queue_s: float | None
    attempts: int
    request_id: str | None
    cost_usd: float | None
    error: Failure | None
    replies: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One dialogue as the reduction sees it: what was expected beside what came back.

    `dialogue_id, required_facts, expect_refusal, tags, metadata` come from requests.jsonl, the rest
    from responses.jsonl. A field that the log does not hold is None, and no metric may invent it.
    """

    dialogue_id: str
    type: RecordType
    completion: str | None = None
    replies: tuple[str, ...] = ()
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    latency_s: float | None = None
    queue_s: float | None = None
    attempts: int | None = None
    cost_usd: float | None = None
    error: Failure | None = None
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
