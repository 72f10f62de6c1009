"""The data that travels through a run: Dialogue → Request → Reply → Record, and Outcome for the reduction.

They are frozen msgspec structs: checked once, where bytes come in, and trusted from there on. Making one costs a tenth
of a frozen dataclass, and a run makes several for every dialogue. None of them can be part of a reference cycle, so
they are kept from the garbage collector (`gc=False`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Mode = Literal["mock", "live"]
RecordType = Literal["answer", "refusal", "truncated", "error"]
Role = Literal["user", "assistant"]
Expected = str | int | float | dict[str, Any] | list[str]  # a list: texts of which any is right

NOTHING_SENT = msgspec.Raw(b"null")
CHARACTERS_PER_TOKEN = 4  # how long the mock and the mock server take a token to be
MAX_ID_LENGTH = 512
LARGEST_COUNT = 1 << 53  # above it a float cannot hold every whole number, and no real count of tokens is that large


Text = Annotated[str, Meta(min_length=1)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Role
    content: str | list[dict[str, Any]]


class Dialogue(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """One item of a dataset. Exactly one of `user`, `messages` and `turns` says what is asked."""

    dialogue_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    user: Text | None = None
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)] | None = None
    turns: Annotated[tuple[Text, ...], Meta(min_length=1)] | None = None
    system: str | None = None
    required_facts: tuple[Text, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    expected: Expected | None = None
    request: dict[str, Any] | None = None  # sent as it stands; its keys win over those of the manifest


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parts of a prompt the provider may keep for later requests."""

    system: Annotated[bool, Meta(description="Whether the system prompt ends a cached part.")] = True
    messages: Annotated[
        bool, Meta(description="Whether the newest message ends one too, for conversations of many turns.")
    ] = False
    ttl: Annotated[Literal["5m", "1h"], Meta(description="How long it is kept; 1h costs more to write.")] = "5m"

    @property
    def control(self) -> dict[str, str]:
        """The marker as it is sent."""
        return {"type": "ephemeral", "ttl": self.ttl}


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that all requests of an experiment share. Only what the manifest sets is sent."""

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
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    request: dict[str, Any] = {}


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of requests.jsonl, with its fields in the order in which they are written.

    This and `Record` are made for every dialogue, each in one place, with positional arguments: those cost half of what
    keywords do.
    """

    dialogue_id: str
    index: int
    model: str
    temperature: float | None
    max_tokens: int
    prompt: dict[str, Any]
    request_hash: str
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    api_version: str | None = None
    expected: Expected | None = None
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # all that was sent besides, as it stands in the body
    repeat: int | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call to make; a dialogue with several turns makes several. `body` has the bytes that a live client sends.

    `repeat` counts from 0 where the experiment asks each dialogue several times, and is None where it asks once. `index`
    counts all that is asked: dialogues, or dialogues times repeats.
    """

    index: int
    dialogue: Dialogue
    params: Params
    body: bytes
    line: RequestLine
    repeat: int | None = None
    turn: int = 0
    attempt: int = 1

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages in the body. They are decoded each time, because most clients never ask for them."""
        decoded: list[dict[str, Any]] = msgspec.json.decode(self.body)["messages"]
        return decoded


class Limit(msgspec.Struct, frozen=True, gc=False):
    """One rate limit as a provider reports it: how much is allowed a minute, and how much of that is left."""

    limit: float
    remaining: float


class RateHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rate limits that the headers of one reply name; None for each that they do not."""

    requests: Limit | None = None
    input_tokens: Limit | None = None
    output_tokens: Limit | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a client returns for one request.

    An empty `usage` means that nobody knows what was used. `latency_s` is set only by clients that simulate time.
    `content` is set only when the model calls tools, because then the blocks must be sent back as they came.
    The last three are set by clients that stream: the seconds to the first part (a few tokens), those between each part
    and the next, and those from the first part of the answer, thoughts aside, to its last.
    """

    completion: str
    stop_reason: str | None
    model: str | None
    usage: dict[str, Any]
    request_id: str | None = None
    latency_s: float | None = None
    metadata: dict[str, Any] = {}
    limits: RateHeaders | None = None
    content: list[dict[str, Any]] | None = None
    ttft_s: float | None = None
    gaps_s: tuple[float, ...] = ()
    writing_s: float | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a dialogue has no reply; the `error` of its record."""

    type: str
    message: str
    status: int | None = None
    request_id: str | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One line of responses.jsonl, with its fields in the order in which they are written.

    `cost_usd` is what was paid, null where that is not known. `maybe_usd` is what may have been billed besides: calls
    that failed without proof that they cost nothing, and replies without a known price, at their worst case.

    The fields that may be unset are written only where they have a value. Of the time outside the client, `queue_s`,
    `held_s` was spent waiting for limits or the cap and `between_s` between two tries; the rest was spent in line for a
    slot. `at_s` counts from the first call of the run to the end of this dialogue. `reused_from` names the run that an
    answer was taken over from, and `reused_cost_usd` is what was paid for it there.
    """

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
    maybe_usd: float | msgspec.UnsetType = msgspec.UNSET
    repeat: int | msgspec.UnsetType = msgspec.UNSET
    at_s: float | msgspec.UnsetType = msgspec.UNSET
    held_s: float | msgspec.UnsetType = msgspec.UNSET
    between_s: float | msgspec.UnsetType = msgspec.UNSET
    ttft_s: float | msgspec.UnsetType = msgspec.UNSET
    gap_p50_s: float | msgspec.UnsetType = msgspec.UNSET
    gap_p95_s: float | msgspec.UnsetType = msgspec.UNSET
    tokens_per_s: float | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    stop_details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    reused_from: str | msgspec.UnsetType = msgspec.UNSET
    reused_cost_usd: float | msgspec.UnsetType = msgspec.UNSET


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One answer as metrics see it: what was expected, and what came back.

    `dialogue_id, required_facts, expect_refusal, tags, metadata, expected, repeat, request` come from requests.jsonl, the
    rest from responses.jsonl. `repeat` is None where every dialogue was asked once. A field that the log does not hold is
    None, and no metric may make it up.
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
    expected: Expected | None = None
    repeat: int | None = None
    held_s: float | None = None
    between_s: float | None = None
    ttft_s: float | None = None
    gap_p50_s: float | None = None
    gap_p95_s: float | None = None
    tokens_per_s: float | None = None
    reused_from: str | None = None
    reused_cost_usd: float | None = None
    request: msgspec.Raw = NOTHING_SENT
    tool_calls: tuple[dict[str, Any], ...] = ()

    @property
    def sent(self) -> dict[str, Any]:
        """What was sent besides model, limits and texts, such as tools and the format of the answer.

        It is decoded each time, because few metrics ask for it.
        """
        decoded: dict[str, Any] | None = msgspec.json.decode(self.request)
        return decoded or {}
