"""Every key of a manifest: its type, its bounds and its description, written once.

The loader's checks, the JSON Schema and the messages all read these annotations, so they cannot differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from profiler.core.nouns import CacheSettings
from profiler.manifest.measured import Slo
from profiler.manifest.metrics import KINDS, WITHOUT_OPTIONS, MetricEntry
from profiler.manifest.value_types import (
    ATTRIBUTE,
    END,
    GOODPUT,
    MOST_REPEATS,
    TEXT_IN_A_FILE,
    USUAL_CONCURRENCY,
    ApiVersion,
    Attribute,
    Concurrency,
    Count,
    DialogueKey,
    ExperimentId,
    FaultKind,
    ModelId,
    OutputField,
    PositiveNumber,
    Rate,
    Seconds,
    Text,
    Url,
)

USUAL_METRICS = ("fact_coverage", "refusal_rate", "completion_rate", "geometric_mean")
BUILTIN_METRICS = (*USUAL_METRICS, "refusal_as_expected")
NAMED_METRICS = (*BUILTIN_METRICS, *WITHOUT_OPTIONS)

MetricName = Annotated[
    str,
    Meta(
        pattern=rf"^({'|'.join(NAMED_METRICS)}|{ATTRIBUTE}){END}",
        extra={
            "expected": f"one of {', '.join(NAMED_METRICS)}, or module:attribute",
            "choices": (*NAMED_METRICS, *KINDS),
        },
    ),
]


class LineNumber(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Instead of a key of the file: the number of the line, or of the element of an array."""

    line: Annotated[Literal[True], Meta(description="Always true.")]


class RateLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider allows a minute; the reply headers correct it while the run goes on."""

    requests_per_minute: Annotated[Count | None, Meta(description="Requests a minute.")] = None
    input_tokens_per_minute: Annotated[Count | None, Meta(description="Input tokens a minute.")] = None
    output_tokens_per_minute: Annotated[Count | None, Meta(description="Output tokens a minute.")] = None


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long one dialogue is tried again after failures that may pass."""

    max_attempts: Annotated[
        Count, Meta(description="Calls for one request, the first included; a rate limit does not use one up.")
    ] = 4
    deadline_s: Annotated[PositiveNumber, Meta(description="Seconds for all attempts of one dialogue.")] = 600.0


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Simulated waiting: log-normal around a median, drawn from the seed and the dialogue id."""

    median_s: Annotated[Seconds, Meta(description="Half of the calls take less than this many seconds.")]
    sigma: Annotated[
        Annotated[float, Meta(ge=0, le=10)],
        Meta(
            description="Shape of the log-normal tail: 0 is constant, 1 makes one call in a hundred ten times slower."
        ),
    ] = 0.0
    stalls: Annotated[
        dict[str, Seconds],
        Meta(description="Seconds for single dialogues, by dialogue_id, instead of a drawn latency."),
    ] = {}


class MockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the deterministic mock answers."""

    responses_path: Annotated[
        Path | None,
        Meta(
            description="JSON file of prepared answers by dialogue_id, relative to this file; others are made up. A list "
            "answers the repeats of a dialogue in turn."
        ),
    ] = None
    seed: Annotated[int, Meta(description="Changes what is drawn: latencies, faults and made-up answers.")] = 0
    latency_s: Annotated[
        Seconds | Latency, Meta(description="Seconds each call takes: a number, or a distribution.")
    ] = 0.0
    faults: Annotated[
        dict[FaultKind, Rate],
        Meta(
            description="Share of calls that fail, by kind of failure; at most 1 together.",
            extra_json_schema={"propertyNames": {"enum": list(get_args(FaultKind))}},  # msgspec leaves keys open
        ),
    ] = {}

    def __post_init__(self) -> None:
        if self.responses_path is not None:
            msgspec.structs.force_setattr(self, "responses_path", Path(self.responses_path))

    @property
    def latency(self) -> Latency:
        """`latency_s` as a distribution; a bare number is a constant."""
        return self.latency_s if isinstance(self.latency_s, Latency) else Latency(median_s=self.latency_s)


Price = Annotated[float, Meta(ge=0, le=1_000_000)]


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, in dollars a million tokens, for models that no price list knows."""

    input_per_million: Annotated[Price, Meta(description="Dollars for a million input tokens.")]
    output_per_million: Annotated[Price, Meta(description="Dollars for a million output tokens.")]
    cache_write_per_million: Annotated[
        Price | None, Meta(description="Dollars for a million tokens written to the cache.")
    ] = None
    cache_read_per_million: Annotated[
        Price | None, Meta(description="Dollars for a million tokens read from the cache.")
    ] = None


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The range a metric must end in."""

    min: Annotated[float | None, Meta(description="The least that passes.")] = None
    max: Annotated[float | None, Meta(description="The most that passes.")] = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest may say of one experiment."""

    experiment_id: Annotated[ExperimentId, Meta(description="Names the experiment and its run directory.")]
    model: Annotated[ModelId, Meta(description="The model that is asked.")]
    max_tokens: Annotated[Count, Meta(description="The most tokens one answer may have.")]
    dataset_path: Annotated[Path, Meta(description="The dialogues: JSON, JSONL or CSV, relative to this file.")]
    dataset_fields: Annotated[
        dict[DialogueKey, Text | LineNumber],
        Meta(
            description="For datasets with keys of other names: the key of the file that holds each part of a dialogue, such as "
            "{user: question, expected: answer}; {line: true} for dialogue_id numbers the lines.",
            extra_json_schema={"propertyNames": {"enum": list(get_args(DialogueKey))}},  # msgspec leaves keys open
        ),
    ] = {}
    repeats: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_REPEATS)],
        Meta(
            description="How often each dialogue is asked. Intervals are then clustered by dialogue, and limits, money and "
            "errors count every answer by itself."
        ),
    ] = 1
    temperature: Annotated[
        Rate | None, Meta(description="Sampling temperature; sent only when set, newer models refuse it.")
    ] = None
    top_p: Annotated[Rate | None, Meta(description="Nucleus sampling; sent only when set.")] = None
    top_k: Annotated[Count | None, Meta(description="Sample from the k likeliest tokens; sent only when set.")] = None
    system: Annotated[
        str | None,
        Meta(
            description="System prompt of dialogues that have none of their own: a text, or {file: PATH}, relative to this file.",
            extra={"from_file": True, "expected": "a text or {file: PATH}"},
            extra_json_schema={"anyOf": [{"type": "string"}, TEXT_IN_A_FILE, {"type": "null"}]},
        ),
    ] = None
    stop_sequences: Annotated[tuple[Text, ...], Meta(description="Texts that end an answer.")] = ()
    thinking: Annotated[dict[str, Any] | None, Meta(description="Extended thinking, sent as it stands.")] = None
    effort: Annotated[
        Literal["low", "medium", "high", "xhigh", "max"] | None, Meta(description="How much work the model puts in.")
    ] = None
    tools: Annotated[
        tuple[dict[str, Any], ...], Meta(description="Tools that the model may call, each as the API takes it.")
    ] = ()
    tool_choice: Annotated[
        dict[str, Any] | None, Meta(description="Whether and which tool must be called, such as {type: any}.")
    ] = None
    output_format: Annotated[
        dict[str, Any] | None,
        Meta(
            description="The form that answers must have: {type: json_schema, schema: {…}}; json_schema: sent checks it."
        ),
    ] = None
    request: Annotated[
        dict[str, Any],
        Meta(description="Further keys of the request, sent as they stand, such as {service_tier: standard_only}."),
    ] = {}
    cache: Annotated[CacheSettings | None, Meta(description="Prompt caching; nothing is marked when not set.")] = None
    log_schema_version: Annotated[Literal[1], Meta(description="Version of the log format; 1 is the only one.")] = 1
    output_fields: Annotated[
        tuple[OutputField, ...] | None,
        Meta(description="The fields that responses.jsonl keeps; all when not set. dialogue_id and type must stay."),
    ] = None
    metrics: Annotated[
        tuple[MetricName | MetricEntry, ...],
        Meta(description="Metrics of the summary: built-in names, module:attribute, or a mapping of one with options."),
    ] = USUAL_METRICS
    pass_at: Annotated[
        tuple[Count, ...],
        Meta(
            description="With repeats: for every metric with true/false scores, how often at least one of so many answers "
            "is right (pass@k), and how often all of them are (pass^k)."
        ),
    ] = ()
    thresholds: Annotated[
        dict[str, float | Bounds],
        Meta(
            description="What metrics, error_rate, cost_usd or numbers such as latency_s.p95 must reach, else the run ends with exit "
            "code 1: a number alone is a minimum."
        ),
    ] = {}
    slo: Annotated[
        Slo | None, Meta(description="How quick answers must be: adds the metric goodput, the share that is.")
    ] = None
    concurrency: Annotated[Concurrency, Meta(description="Dialogues in flight.")] = USUAL_CONCURRENCY
    rate_limits: Annotated[RateLimits | None, Meta(description="What the provider allows a minute.")] = None
    retry: Annotated[Retry, Meta(description="How often a failed call is made again.")] = Retry()
    timeout_s: Annotated[PositiveNumber, Meta(description="Seconds one call may take.")] = 120.0
    max_cost_usd: Annotated[PositiveNumber | None, Meta(description="The run stops before it costs more.")] = None
    prices: Annotated[
        Prices | None, Meta(description="Prices to reckon with instead of the list price of the model.")
    ] = None
    mock: Annotated[MockSettings, Meta(description="How the deterministic mock answers.")] = MockSettings()
    base_url: Annotated[Url | None, Meta(description="Another address of the API.")] = None
    api_version: Annotated[ApiVersion | None, Meta(description="Value of the anthropic-version header.")] = None
    stream: Annotated[
        bool, Meta(description="Whether live answers are streamed, which times their first token and the rest.")
    ] = False
    provider: Annotated[
        Literal["anthropic", "bedrock", "vertex", "foundry"],
        Meta(description="Who serves the model; all but anthropic go through the SDK and its own credentials."),
    ] = "anthropic"
    client: Annotated[Attribute | None, Meta(description="module:attribute of a client factory of your own.")] = None

    def __post_init__(self) -> None:
        """In Python, unlike in a file, the path may be given as a text. What `slo` asks for is a metric like others."""
        msgspec.structs.force_setattr(self, "dataset_path", Path(self.dataset_path))
        if self.slo is not None:
            others = [each for each in self.metrics if isinstance(each, str) or each.called != GOODPUT]
            metrics = (*others, MetricEntry(goodput=self.slo))
            msgspec.structs.force_setattr(self, "metrics", metrics)

    def bounds(self) -> dict[str, Bounds]:
        """The thresholds; a bare number is a minimum."""
        return {
            name: limit if isinstance(limit, Bounds) else Bounds(min=limit) for name, limit in self.thresholds.items()
        }


class Experiment(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model with one set of parameters over one dataset.

    `written_in` is the manifest that it was read from, for messages that point at a setting; None if it was made in Python.
    """

    written_in: Path | None = None


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "rate_limits": RateLimits,
    "retry": Retry,
    "mock": MockSettings,
    "cache": CacheSettings,
    "slo": Slo,
}
MERGED = (*SECTIONS, "request")  # layers of settings are laid over each other key by key
REQUIRED = ("experiment_id", "model", "max_tokens", "dataset_path")
