"""How a manifest asks for a metric with options: `{exact_match: {normalize: [case]}}`, and a name for it.

A metric of this kind compares an answer with what its dialogue expects, or looks at the answer alone. The functions are
in `profiler.metrics.with_options`; here is what can be set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from profiler.manifest.measured import FIELDS, Measured, Slo

if TYPE_CHECKING:
    from collections.abc import Iterable

Preparation = Literal["unicode", "case", "space", "punctuation", "articles"]
OptionText = Annotated[str, Meta(min_length=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every metric does with a text before it looks at it."""

    extract: Annotated[
        OptionText | None,
        Meta(
            description="A regular expression (RE2): its last match in the answer is looked at, or the first group of it. "
            "An answer without a match is wrong."
        ),
    ] = None


class Compared(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    normalize: Annotated[
        tuple[Preparation, ...],
        Meta(
            description="What is levelled in answer and expectation: unicode (NFKC), case, space (runs of it are one), "
            "punctuation (removed), articles (a, an, the are removed)."
        ),
    ] = ()


class ExactMatch(Compared, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the answer is what is expected; an expected object or list inside one is compared as JSON."""


class Contains(Compared, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the answer contains a text: of these, or of what the dialogue expects."""

    any: Annotated[tuple[OptionText, ...], Meta(description="Texts of which one must be there.")] = ()
    all: Annotated[tuple[OptionText, ...], Meta(description="Texts that must all be there.")] = ()


class Regex(Compared, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether a regular expression is found in the answer."""

    pattern: Annotated[OptionText, Meta(description="The regular expression (RE2), searched for anywhere.")]


class Numeric(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the last number of the answer is the expected one."""

    absolute: Annotated[AtLeastZero, Meta(description="How far off is still right.")] = 0.0
    relative: Annotated[
        AtLeastZero, Meta(description="The same as a share of the expected number; the larger of the two holds.")
    ] = 0.0


class JsonValid(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the answer is one JSON value."""


class JsonSchema(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the answer is JSON that is valid against a schema (draft 2020-12)."""

    schema: Annotated[
        dict[str, Any] | Literal["sent"],
        Meta(
            description="The schema, where $ref may lead to parts of itself; sent: the one that was sent as output_format."
        ),
    ]


class Choice(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the letter that the answer gives is the expected one."""

    choices: Annotated[
        tuple[OptionText, ...], Meta(description="What can be chosen.", min_length=2)
    ] = ("A", "B", "C", "D", "E")  # fmt: skip


class Length(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long the answer is."""

    unit: Annotated[Literal["characters", "words"], Meta(description="What is counted.")] = "characters"


Options = ExactMatch | Contains | Regex | Numeric | JsonValid | JsonSchema | Choice | Length | Measured | Slo
KINDS: dict[str, type[Options]] = {
    "exact_match": ExactMatch,
    "contains": Contains,
    "regex": Regex,
    "numeric": Numeric,
    "json_valid": JsonValid,
    "json_schema": JsonSchema,
    "choice": Choice,
    "length": Length,
    **dict.fromkeys(FIELDS, Measured),
    "goodput": Slo,
}
WITHOUT_OPTIONS = tuple(
    kind for kind in KINDS if kind not in {"regex", "json_schema", "goodput"}
)  # kinds that may be written as a bare name, without options
JUDGED_BY_EXPECTED = ("exact_match", "contains", "numeric", "choice")


class MetricEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One metric with its options: exactly one of the kinds, and perhaps a name of its own."""

    name: Annotated[
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}(?!\n)$",
                extra={"expected": "a name of letters, digits, '_', '.' and '-'"},
            ),
        ]
        | None,
        Meta(description="What it is called in the summary; the kind when not set."),
    ] = None
    exact_match: Annotated[ExactMatch | None, Meta(description="The answer is what is expected.")] = None
    contains: Annotated[Contains | None, Meta(description="The answer contains a text.")] = None
    regex: Annotated[Regex | None, Meta(description="A regular expression is found in the answer.")] = None
    numeric: Annotated[Numeric | None, Meta(description="The answer's last number is the expected one.")] = None
    json_valid: Annotated[JsonValid | None, Meta(description="The answer is JSON.")] = None
    json_schema: Annotated[
        JsonSchema | Literal["sent"] | None,
        Meta(
            description="The answer is JSON that a schema describes; sent: the schema that was sent as output_format."
        ),
    ] = None
    choice: Annotated[Choice | None, Meta(description="The answer gives the expected letter.")] = None
    length: Annotated[Length | None, Meta(description="How long the answer is.")] = None
    latency_s: Annotated[Measured | None, Meta(description="Seconds that the provider took.")] = None
    ttft_s: Annotated[Measured | None, Meta(description="Seconds to the first token; needs streams.")] = None
    output_tokens: Annotated[Measured | None, Meta(description="Tokens that the model wrote.")] = None
    cost_usd: Annotated[Measured | None, Meta(description="What an answer cost.")] = None
    tokens_per_s: Annotated[
        Measured | None, Meta(description="Tokens a second with which it was written; needs streams.")
    ] = None
    goodput: Annotated[Slo | None, Meta(description="The answer is quick enough; an error is not.")] = None

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    @property
    def needs(self) -> list[str]:
        """The fields of a record that it reads."""
        kind, chosen = self.kinds[0], self.options
        return list(chosen.limits) if isinstance(chosen, Slo) else [FIELDS.get(kind, "completion")]

    @property
    def called(self) -> str:
        return self.name or " and ".join(self.kinds)

    @property
    def options(self) -> Options:
        options: Options | Literal["sent"] = getattr(self, self.kinds[0])
        return JsonSchema(schema="sent") if options == "sent" else options


def called(metric: str | MetricEntry) -> str:
    """What a metric is called by those who name it in a manifest."""
    return metric if isinstance(metric, str) else metric.called


def as_entry(metric: str | MetricEntry) -> MetricEntry | None:
    """The entry with its options, also for a kind that is written as a bare name; None for every other name."""
    if isinstance(metric, str):
        return msgspec.convert({metric: {}}, MetricEntry) if metric in WITHOUT_OPTIONS else None
    return metric


def plain(metrics: Iterable[str | MetricEntry]) -> list[Any]:
    """The metrics as plain values, as summary.json gives them back: lists, where `to_builtins` would leave tuples."""
    return [
        metric if isinstance(metric, str) else msgspec.json.decode(msgspec.json.encode(metric)) for metric in metrics
    ]


def checks_sent(metric: str | MetricEntry) -> bool:
    """Whether the metric needs a schema that was sent with the question."""
    entry = as_entry(metric)
    return entry is not None and isinstance(entry.options, JsonSchema) and entry.options.schema == "sent"


def compares(metric: str | MetricEntry) -> bool:
    """Whether the metric compares answers with the `expected` of their dialogues."""
    entry = as_entry(metric)
    if entry is None:
        return False
    told = isinstance(entry.options, Contains) and bool(entry.options.any or entry.options.all)
    return entry.kinds[0] in JUDGED_BY_EXPECTED and not told
