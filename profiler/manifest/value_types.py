"""What single values of a manifest may be: names, addresses, numbers and their bounds, with the words for messages."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

MAX_ID = 128  # characters of an experiment's id, which names a folder
ATTRIBUTE = r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*"
END = r"(?!\n)$"  # a bare $ also matches before a final line break

ExperimentId = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9_-][A-Za-z0-9._-]*{END}",
        max_length=MAX_ID,
        extra={"expected": "a name of at most 128 letters, digits, '.', '_' and '-' that does not begin with '.'"},
    ),
]
ModelId = Annotated[
    str, Meta(pattern=rf"^[!-~]+{END}", extra={"expected": "a model id such as 'claude-haiku-4-5', without spaces"})
]
Attribute = Annotated[str, Meta(pattern=rf"^{ATTRIBUTE}{END}", extra={"expected": "module:attribute"})]
Url = Annotated[
    str, Meta(pattern=rf"^https?://[^\s/][^\s]*{END}", extra={"expected": "an address that begins with http(s)://"})
]
ApiVersion = Annotated[
    str, Meta(pattern=rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{END}", extra={"expected": "a date such as '2023-06-01'"})
]
OutputField = Literal[
    "dialogue_id",
    "index",
    "completion",
    "type",
    "stop_reason",
    "model",
    "usage",
    "latency_s",
    "queue_s",
    "attempts",
    "request_id",
    "cost_usd",
    "error",
    "replies",
    "maybe_usd",
    "repeat",
    "at_s",
    "held_s",
    "between_s",
    "ttft_s",
    "gap_p50_s",
    "gap_p95_s",
    "tokens_per_s",
    "tool_calls",
    "stop_details",
    "reused_from",
    "reused_cost_usd",
]
DialogueKey = Literal[
    "dialogue_id",
    "user",
    "messages",
    "turns",
    "system",
    "required_facts",
    "expect_refusal",
    "expected",
    "tags",
    "metadata",
    "request",
]
FaultKind = Literal["rate_limited", "overloaded", "server_error", "timeout", "invalid_request"]

MOST_REPEATS = 10_000
LARGEST_CONCURRENCY = 100_000  # of the manifest, of --concurrency and of the Python API
USUAL_CONCURRENCY = 32
GOODPUT = "goodput"  # the metric that `slo` adds
Concurrency = Annotated[int, Meta(ge=1, le=LARGEST_CONCURRENCY)]
Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
PositiveNumber = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]


TEXT_IN_A_FILE = {
    "type": "object",
    "properties": {"file": {"type": "string", "minLength": 1}},
    "required": ["file"],
    "additionalProperties": False,
}
