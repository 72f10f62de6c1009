"""The metrics that take options in a manifest (`exact_match`, `contains`, `numeric`, …); `manifest.metrics` lists the options.

Most compare an answer with what is expected of it. Each has a pure score of one answer; no answer (an error), or nothing to compare it with, is no score. Refusals and
truncated answers are answers: they are compared as they are, and are usually wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps
from profiler.core.json_schema import schema_check
from profiler.core.patterns import compiled
from profiler.manifest import metrics as options
from profiler.manifest.measured import Measured, Slo
from profiler.metrics.measured import goodput, measured
from profiler.metrics.metric import Metric, mean, rate
from profiler.metrics.text import extractor, normalizer

if TYPE_CHECKING:
    from profiler.core.nouns import Expected, Outcome

Right = Callable[[str, "Outcome"], bool | None]
Misfit = Callable[["Expected"], str | None]

# By Python's own engine, which takes a third of the time that RE2 takes with its wrapper. After the digits everything may
# be missing, so nothing is ever tried again: these two take time in proportion to the text, whatever it is.
WRITTEN_NUMBER = re.compile(r"[-+\u2212]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,4})?", re.ASCII)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:[eE].*)?", re.ASCII)
_LONGEST_NUMBER = 1_000  # characters: nobody means a longer one, and to reckon with it takes its time
# By RE2, like the patterns of users: these too meet texts that somebody else wrote.
# `answer is (B)`, and a choice in brackets, with a mark behind it, or alone at the end of a line.
_NAMED = r"(?i:answer|choice|option|choose|pick)(?i:\s+is)?\s*[:=]?\s*[\"'*(\[]*(%s)"
_MARKED = r"(?m)(?:^|[\s(\[*\"'])[(\[*\"']*(%s)(?:[)\].:*\"']|[ \t]*$)"


def metric_of(entry: options.MetricEntry) -> Metric[Any]:
    chosen = entry.options
    if isinstance(chosen, options.Length):
        return _length(entry.called, chosen)
    if isinstance(chosen, Measured):
        return measured(entry.called, entry.kinds[0])
    if isinstance(chosen, Slo):
        return goodput(entry.called, chosen)
    extract, right = extractor(chosen.extract), _RIGHT[type(chosen)](chosen)

    def score(outcome: Outcome) -> bool | None:
        if outcome.type == "error" or outcome.completion is None:
            return None
        found = extract(outcome.completion)
        # Asked all the same, for where nothing is expected there is no score either.
        judged = right("" if found is None else found, outcome)
        return None if judged is None else judged and found is not None

    return rate(entry.called, score, better="higher")


def _length(name: str, chosen: options.Length) -> Metric[Any]:
    extract = extractor(chosen.extract)
    words = chosen.unit == "words"

    def score(outcome: Outcome) -> int | None:
        if outcome.type == "error" or outcome.completion is None:
            return None
        found = extract(outcome.completion)
        return None if found is None else len(found.split()) if words else len(found)

    return mean(name, score, lower=0)


def alternatives(expected: Expected) -> list[Any]:
    """What would be right: any of the texts of a list."""
    return list(expected) if isinstance(expected, list) else [expected]


def _as_text(expected: Any) -> str:
    return expected if isinstance(expected, str) else dumps(expected).decode()


def _exact_match(chosen: options.ExactMatch) -> Right:
    normalized = normalizer(chosen.normalize)

    def right(found: str, outcome: Outcome) -> bool | None:
        if outcome.expected is None:
            return None
        if isinstance(outcome.expected, dict):
            return _json(found) == (outcome.expected,)
        found = normalized(found)
        return any(normalized(_as_text(each)) == found for each in alternatives(outcome.expected))

    return right


def _contains(chosen: options.Contains) -> Right:
    normalized = normalizer(chosen.normalize)
    one_of, all_of = [normalized(each) for each in chosen.any], [normalized(each) for each in chosen.all]

    def right(found: str, outcome: Outcome) -> bool | None:
        found = normalized(found)
        if one_of or all_of:
            return all(each in found for each in all_of) and (not one_of or any(each in found for each in one_of))
        if outcome.expected is None:
            return None
        return any(normalized(_as_text(each)) in found for each in alternatives(outcome.expected))

    return right


def _regex(chosen: options.Regex) -> Right:
    normalized, search = normalizer(chosen.normalize), compiled(chosen.pattern).search
    return lambda found, _: search(normalized(found)) is not None


def numbers(text: str) -> list[Decimal]:
    """The numbers in a text: `1,234.5` is one, `1,2` are two, and in `3-5` the second is not negative."""
    found: list[Decimal] = []
    for match in WRITTEN_NUMBER.finditer(text):
        written, start = match.group(), match.start()
        if len(written) > _LONGEST_NUMBER:
            continue
        sign = ""
        if written[0] in "-+\u2212":
            sign = "" if start and (text[start - 1].isalnum() or text[start - 1] in "._") else written[0]
            written = written[1:]
        written = written.rstrip(",")
        parts = [written.replace(",", "")] if _THOUSANDS.fullmatch(written) else written.split(",")
        found += [Decimal(part) for part in [(sign + parts[0]).replace("\u2212", "-"), *parts[1:]] if part]
    return found


def _numeric(chosen: options.Numeric) -> Right:
    absolute, relative = Decimal(str(chosen.absolute)), Decimal(str(chosen.relative))

    def right(found: str, outcome: Outcome) -> bool | None:
        if outcome.expected is None:
            return None
        wanted = _wanted_numbers(outcome.expected)
        given = numbers(found)
        return bool(given) and any(_near(given[-1], each, absolute, relative) for each in wanted)

    return right


def _near(given: Decimal, wanted: Decimal, absolute: Decimal, relative: Decimal) -> bool:
    """In decimals, for in floats 0.3 is not within 0.1 of 0.2."""
    try:
        return abs(given - wanted) <= max(absolute, relative * abs(wanted))
    except DecimalException:  # 1e999999 is a number, and not near any that is expected
        return False


def _wanted_numbers(expected: Expected) -> list[Decimal]:
    return [_wanted_number(each) for each in alternatives(expected)]


def _wanted_number(expected: Any) -> Decimal:
    if isinstance(expected, int | float):
        return Decimal(str(expected))
    found = _numbers_of_expected(expected) if isinstance(expected, str) else []
    if len(found) != 1:
        raise ValueError(f"expected is {expected!r}, and numeric compares with one number")
    return found[0]


# Expectations come again, for every repeat and for the check before the first call.
_numbers_of_expected = lru_cache(maxsize=512)(numbers)


def _json(text: str) -> tuple[Any] | None:
    """The value, in a tuple because it may be null."""
    try:
        return (msgspec.json.decode(text),)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _json_valid(_: options.JsonValid) -> Right:
    return lambda found, _: _json(found) is not None


def _json_schema(chosen: options.JsonSchema) -> Right:
    told = None if chosen.schema == "sent" else schema_check(chosen.schema)

    def right(found: str, outcome: Outcome) -> bool | None:
        fits = told or _check_of_sent(bytes(outcome.request))
        if fits is None or (told is None and outcome.tool_calls and not found):
            return None  # whoever only calls a tool has not answered yet
        value = _json(found)
        return value is not None and fits(value[0])

    return right


class _OutputConfig(msgspec.Struct):
    format: dict[str, Any] | None = None


class _Sent(msgspec.Struct):
    output_config: _OutputConfig | None = None


@lru_cache(maxsize=64)
def _check_of_sent(request: bytes) -> Callable[[Any], bool] | None:
    """The check against the schema that was sent with a question; None where none was. Most questions share theirs."""
    sent = msgspec.json.decode(request, type=_Sent | None)
    config = None if sent is None else sent.output_config
    schema = (config.format or {}).get("schema") if config is not None else None
    return None if schema is None else schema_check(schema)


def chosen_letter(text: str, choices: tuple[str, ...]) -> str | None:
    """The choice that an answer gives: the last that follows `answer`, `answer is` or the like, else the last that stands
    in brackets, with a mark behind it, or alone at the end of a line."""
    one_of = "|".join(map(re.escape, sorted(choices, key=len, reverse=True)))
    for pattern in (_NAMED, _MARKED):
        found = [match for match in compiled(pattern % one_of).finditer(text) if _stands_alone(match, text)]
        if found:
            return str(found[-1].group(1))
    return None


def _stands_alone(match: Any, text: str) -> bool:
    """Whether a choice is not the begin of a word, and not the article `A` or the word `I` of a sentence."""
    after = text[match.end(1) : match.end(1) + 2]
    if after[:1].isalnum() or (after and after[0] in "_'\u2019"):
        return False
    return match.group(1) not in {"A", "I"} or not (after[:1] == " " and after[1:].islower())


def _wanted_choices(expected: Expected, chosen: options.Choice) -> list[Any]:
    wanted = alternatives(expected)
    strange = [each for each in wanted if each not in chosen.choices]
    if strange:
        raise ValueError(f"expected is {strange[0]!r}, which is none of the choices {', '.join(chosen.choices)}")
    return wanted


def misfit_of(entry: options.MetricEntry) -> Misfit | None:
    """What says why an `expected` cannot be compared with, or None for a metric that takes any."""
    chosen = entry.options

    def misfit(expected: Expected) -> str | None:
        try:
            if isinstance(chosen, options.Choice):
                _wanted_choices(expected, chosen)
            else:
                _wanted_numbers(expected)
        except ValueError as error:
            return str(error)
        return None

    return misfit if isinstance(chosen, options.Choice | options.Numeric) else None


def _choice(chosen: options.Choice) -> Right:
    def right(found: str, outcome: Outcome) -> bool | None:
        if outcome.expected is None:
            return None
        wanted = _wanted_choices(outcome.expected, chosen)
        return chosen_letter(found, chosen.choices) in wanted

    return right


_RIGHT: dict[type, Callable[[Any], Right]] = {
    options.ExactMatch: _exact_match,
    options.Contains: _contains,
    options.Regex: _regex,
    options.Numeric: _numeric,
    options.JsonValid: _json_valid,
    options.JsonSchema: _json_schema,
    options.Choice: _choice,
}
