"""Checks of an experiment that concern several settings at once, or that types cannot express."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.core.complaint import Complaint, under
from profiler.core.json_schema import schema_fault
from profiler.core.patterns import HINT, BadPattern, compiled
from profiler.core.sent_parameters import choice_faults, format_faults, known_keys, request_faults, tool_faults
from profiler.core.wording import did_you_mean, listed
from profiler.manifest.meant_file import meant_file
from profiler.manifest.measured import STREAMED, Slo
from profiler.manifest.metrics import KINDS, JsonSchema, MetricEntry, as_entry, called
from profiler.manifest.settings import Bounds, Experiment, LineNumber
from profiler.manifest.threshold_names import LESS_IS_BETTER, MEASURED, PARTS, SHARES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

KEPT_FIELDS = {"dialogue_id": "a line is found again by it", "type": "answers and refusals are counted by it"}
NEEDS_COMPLETION = ("fact_coverage", "geometric_mean")
LOOK = "error_rate, cost_usd, latency_s.p50 to latency_s.max, ttft_s.*, queue_s.*, tokens.*"
OWN_VERSIONS = ("bedrock", "vertex")
REPORTED_FIELDS = {"latency_s": "latencies", "usage": "token counts"}


def kept_fields(experiment: Experiment) -> Iterator[Complaint]:
    if experiment.output_fields is None:
        return
    for field, reason in KEPT_FIELDS.items():
        if field not in experiment.output_fields:
            yield Complaint(at=("output_fields",), message=f"found no {field!r}, expected it: {reason}")


def needed_fields(experiment: Experiment) -> Iterator[Complaint]:
    needing: dict[str, list[str]] = {}
    for metric in experiment.metrics:
        for field in _needs(metric):
            needing.setdefault(field, []).append(called(metric))
    for field, metrics in needing.items():
        if experiment.output_fields is not None and field not in experiment.output_fields:
            message = f"found no {field!r}, expected it: {' and '.join(metrics)} read it from responses.jsonl"
            yield Complaint(at=("output_fields",), message=message, hint=f"add {field}, or leave the metrics out")


def _needs(metric: str | MetricEntry) -> Sequence[str]:
    """The fields of a record that a metric reads; for a metric of the user's own that is not known."""
    entry = as_entry(metric)
    if entry is None:
        return ["completion"] if metric in NEEDS_COMPLETION else []
    return entry.needs if len(entry.kinds) == 1 else []


def unrepeated(experiment: Experiment) -> Iterator[Complaint]:
    yield from _repeats("output_fields", experiment.output_fields or ())
    yield from _repeats("metrics", [called(metric) for metric in experiment.metrics])
    yield from _repeats("pass_at", experiment.pass_at)


def pass_at(experiment: Experiment) -> Iterator[Complaint]:
    repeats = experiment.repeats
    for i, k in enumerate(experiment.pass_at):
        if repeats == 1:
            message = f"found {k}, expected repeats beside it: each dialogue is asked only once"
            yield Complaint(at=("pass_at", i), message=message, hint=f"add repeats: {max(2, k)}")
        elif k > repeats:
            yield Complaint(at=("pass_at", i), message=f"found {k}, expected at most repeats, which is {repeats}")


def _repeats(key: str, names: Sequence[str | int]) -> Iterator[Complaint]:
    for i, name in enumerate(names):
        if name in names[:i]:
            yield Complaint(at=(key, i), message=f"found {name!r} a second time, expected each once")


def threshold_names(experiment: Experiment) -> Iterator[Complaint]:
    """A threshold may be set on a metric of the experiment, a part of one, or another number of the summary."""
    metrics = [called(metric) for metric in experiment.metrics]
    passes = [f"{name}.pass{sign}{k}" for name in metrics for k in experiment.pass_at for sign in "@^"]
    known = (*metrics, *(part for part in PARTS if part.partition(".")[0] in metrics), *passes, *MEASURED)
    for name, limit in experiment.thresholds.items():
        if name not in known:
            hint = did_you_mean(name, known) or "add it to metrics"
            message = f"found the threshold {name!r}, expected a metric of this experiment, or one of {LOOK}"
            yield Complaint(at=("thresholds", name), message=message, hint=hint, at_key=True)
        elif name in LESS_IS_BETTER and not isinstance(limit, Bounds):
            message = f"found {limit:g}, expected a range: a number alone is a minimum, and here less is better"
            yield Complaint(at=("thresholds", name), message=message, hint=f"write {{max: {limit:g}}}")


def threshold_bounds(experiment: Experiment) -> Iterator[Complaint]:
    for name, limit in experiment.bounds().items():
        if limit.min is not None and limit.max is not None and limit.min > limit.max:
            message = f"found min {limit.min} above max {limit.max}, expected a range that can be met"
            yield Complaint(at=("thresholds", name), message=message)
        elif name in SHARES and not _in_unit_range(limit):
            yield Complaint(at=("thresholds", name), message=f"found a limit outside 0 to 1, where {name} always lies")


def _in_unit_range(limit: Bounds) -> bool:
    return all(bound is None or 0 <= bound <= 1 for bound in (limit.min, limit.max))


def dataset_fields(experiment: Experiment) -> Iterator[Complaint]:
    asks = [key for key in ("user", "messages", "turns") if key in experiment.dataset_fields]
    if len(asks) > 1:
        message = f"found {' and '.join(asks)}, expected one of user, messages and turns"
        yield Complaint(at=("dataset_fields", asks[1]), message=message, at_key=True)
    for key, source in experiment.dataset_fields.items():
        if isinstance(source, LineNumber) and key != "dialogue_id":
            message = "found {line: true}, expected a key of the file: only dialogue_id can be the number of the line"
            yield Complaint(at=("dataset_fields", key), message=message)


def metric_options(experiment: Experiment) -> Iterator[Complaint]:
    for i, metric in enumerate(experiment.metrics):
        if not isinstance(metric, MetricEntry):
            continue
        if len(metric.kinds) != 1:
            found = " and ".join(metric.kinds) or "no metric"
            yield Complaint(at=("metrics", i), message=f"found {found}, expected {listed(KINDS)}, as {{KIND: {{…}}}}")
            continue
        (kind,) = metric.kinds
        for key in ("extract", "pattern"):
            if (pattern := getattr(metric.options, key, None)) is not None:
                yield from _searchable(pattern, at=("metrics", i, kind, key))
        if isinstance(metric.options, Slo) and not metric.options.limits:
            at = ("slo",) if experiment.slo is metric.options else ("metrics", i, kind)
            yield Complaint(at=at, message=f"found no limit, expected one of {', '.join(Slo.__struct_fields__)}")
        schema = metric.options.schema if isinstance(metric.options, JsonSchema) else "sent"
        if schema != "sent" and (fault := schema_fault(schema)) is not None:
            yield Complaint(
                at=("metrics", i, kind, "schema"), message=f"found no JSON Schema that can be checked: {fault}"
            )


def _searchable(pattern: str, *, at: tuple[str | int, ...]) -> Iterator[Complaint]:
    try:
        compiled(pattern)
    except BadPattern as error:
        yield Complaint(at=at, message=f"found {pattern!r}, expected a regular expression: {error}", hint=HINT)


def sent_parameters(experiment: Experiment) -> Iterator[Complaint]:
    """Tools, the choice among them, the format of answers, and keys of `request` that have a place elsewhere."""
    yield from under("request", request_faults(experiment.request))
    if experiment.tools:
        yield from under("tools", tool_faults(experiment.tools))
    if experiment.tool_choice is not None:
        yield from under("tool_choice", choice_faults(experiment.tool_choice, experiment.tools))
    if experiment.output_format is not None:
        yield from under("output_format", format_faults(experiment.output_format))


def versions_of_platforms(experiment: Experiment) -> Iterator[Complaint]:
    """Bedrock and Vertex have versions of their own, in the body, and do not look at the header."""
    if experiment.api_version is not None and experiment.provider in OWN_VERSIONS:
        message = f"found api_version with provider {experiment.provider}, which has a version of its own"
        yield Complaint(at=("api_version",), message=message, hint="leave api_version out", at_key=True)


def fault_shares(experiment: Experiment) -> Iterator[Complaint]:
    total = sum(experiment.mock.faults.values())
    if total > 1 + 1e-9:
        yield Complaint(at=("mock", "faults"), message=f"found shares that add up to {total:g}, expected at most 1")


Rule = tuple[tuple[str, ...], "Callable[[Experiment], Iterator[Complaint]]"]

# Each rule with the settings that it reads. It is skipped while one of them is wrong by itself.
RULES: tuple[Rule, ...] = (
    (("output_fields",), kept_fields),
    (("output_fields", "metrics"), needed_fields),
    (("metrics", "slo"), metric_options),
    (("output_fields", "metrics", "pass_at"), unrepeated),
    (("repeats", "pass_at"), pass_at),
    (("thresholds", "metrics", "pass_at"), threshold_names),
    (("thresholds",), threshold_bounds),
    (("mock",), fault_shares),
    (("dataset_fields",), dataset_fields),
    (("request", "tools", "tool_choice", "output_format"), sent_parameters),
    (("api_version", "provider"), versions_of_platforms),
)


def broken(experiment: Experiment, *, wrong: set[str]) -> list[Complaint]:
    return [complaint for reads, rule in RULES if wrong.isdisjoint(reads) for complaint in rule(experiment)]


def missing_files(experiment: Experiment, *, wrong: set[str]) -> list[Complaint]:
    files = {("dataset_path",): experiment.dataset_path, ("mock", "responses_path"): experiment.mock.responses_path}
    return [
        _no_file(at, path)
        for at, path in files.items()
        if path is not None and at[0] not in wrong and not _is_file(path)
    ]


def _no_file(at: tuple[str, ...], path: Path) -> Complaint:
    wanted = _FILE_WORDS[at[-1]]
    try:
        if path.is_dir():
            return Complaint(
                at=at, message=f"found the folder {path}, expected a file: {wanted}", hint="name the file in it"
            )
        hint = _why_no_file(path)
    except (OSError, ValueError) as error:  # a name that is too long, say, or a folder that may not be looked into
        hint = f"it cannot be looked at: {getattr(error, 'strerror', None) or error}"
    return Complaint(at=at, message=f"found no file {path}, expected {wanted}", hint=hint)


def _why_no_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; {_WHERE_PATHS_START}"
    meant = meant_file(path)
    return _WHERE_PATHS_START if meant is None else f"did you mean {meant.name!r} in that folder?"


_WHERE_PATHS_START = (
    "a relative path starts at the folder of the manifest, and one from a variable at the current folder"
)
_FILE_WORDS = {"dataset_path": "the dialogues of the experiment", "responses_path": "the answers of the mock"}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def streamed_only(experiment: Experiment) -> dict[str, tuple[str | int, ...]]:
    """What an experiment asks for that only streams can tell, such as `ttft_s`, and the setting that asks for it."""
    found: dict[str, tuple[str | int, ...]] = {}
    for i, metric in enumerate(experiment.metrics):
        entry = as_entry(metric)
        of_slo = entry is not None and entry.options is experiment.slo is not None
        for field in _needs(metric):
            found.setdefault(field, ("slo", field) if of_slo else ("metrics", i))
    for name in experiment.thresholds:
        found.setdefault(name.partition(".")[0], ("thresholds", name))
    return {field: at for field, at in found.items() if field in STREAMED}


def doubtful(experiment: Experiment) -> list[Complaint]:
    """Warnings about settings that may be meant, but leave holes in the summary, or that are probably mistyped."""
    strange = [
        Complaint(
            at=("request", key),
            message=f"found {key!r}, which the official SDK does not know; it is sent all the same",
            hint=did_you_mean(key, known_keys()),
            at_key=True,
        )
        for key in experiment.request
        if key not in known_keys()
    ]
    kept = experiment.output_fields
    if kept is None:
        return strange
    holes = {field: words for field, words in REPORTED_FIELDS.items() if field not in kept}
    if experiment.max_cost_usd is not None and "cost_usd" not in kept:
        holes["cost_usd"] = "the cost"
    return strange + [
        Complaint(at=("output_fields",), message=f"found no {field!r}: {words} will be null in the summary")
        for field, words in holes.items()
    ]
