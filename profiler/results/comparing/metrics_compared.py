"""Which metrics two runs can be compared by, and which way each is better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.core.errors import ProfilerError, UsageError
from profiler.core.wording import did_you_mean
from profiler.manifest.settings import USUAL_METRICS
from profiler.metrics.builtin import BUILTIN, resolve
from profiler.results.comparing.measured_run import COMPLETION, ERRORS, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from profiler.metrics.metric import Better
    from profiler.results.comparing.findings import Question
    from profiler.results.comparing.measured_run import MeasuredRun

DIRECTIONS: Final[dict[str, Better | None]] = {
    ERRORS: "lower",
    REFUSALS: None,
    "cost_usd": "lower",
    "latency_s": "lower",
    "ttft_s": "lower",
    "gap_p95_s": "lower",
    "tokens_per_s": "higher",
    "input_tokens": None,
    "output_tokens": None,
}
SAY_IT: Final = "say it with --higher-is-better or --lower-is-better"


def directions(
    facts: Sequence[Mapping[str, Any]], *, search_path: Path | None, told: Mapping[str, Better] = {}
) -> tuple[dict[str, Better], list[str]]:
    """Which way each metric is better, and what could not be found out, a sentence each. `told` overrules all else."""
    found: dict[str, Better] = {name: way for name, way in DIRECTIONS.items() if way is not None}
    found |= {name: metric.better for name, metric in BUILTIN.items() if metric.better is not None}
    written = {name: way for each in facts for name, way in (each.get("better") or {}).items()}
    sentences: list[str] = []
    for entry in _entries(facts):
        try:
            (metric,) = resolve([entry], search_path=search_path)
        except ProfilerError:
            if str(entry).rpartition(":")[2] not in written:
                sentences.append(f"which way is better by {entry}, which is not found here ({SAY_IT})")
            continue
        if metric.better is not None:
            found[metric.name] = metric.better
        if metric.score is None:
            sentences.append(f"{metric.name}, which has no value for a single dialogue")
    return {**found, **written, **told}, sentences


def _entries(facts: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the manifests name as metrics: names, or names with options."""
    named = [entry for each in facts for entry in each.get("metrics") or USUAL_METRICS]
    return list({repr(entry): entry for entry in named}.values())


def metrics_of_both(base: MeasuredRun, new: MeasuredRun, better: Mapping[str, Better]) -> list[str]:
    """What both runs have: scores first, then errors and refusals, then cost, times and tokens."""
    both = [name for name in base.measures if name in new.measures]
    known = [name for name in both if has_meaning(base, name) and has_meaning(new, name)]
    scores = [name for name in known if name not in DIRECTIONS]
    ordered = [*sorted(scores, key=lambda name: name not in better), *(name for name in DIRECTIONS if name in known)]
    return list(dict.fromkeys(ordered))


def has_meaning(run: MeasuredRun, name: str) -> bool:
    """Coverage of a dataset that requires no facts is 1 for every item, and means nothing."""
    column = run.measures[name]
    if name == "fact_coverage" and not run.requires_facts:
        return False
    return any(value == value for value in column)  # noqa: PLR0124 (NaN is not)


def refuse_unknown(question: Question, known: set[str], better: Mapping[str, Better]) -> None:
    for flag, names in (
        ("--margin", question.margins),
        ("--fail-if-worse", question.fail_if_worse),
        ("--higher-is-better and --lower-is-better", question.better),
    ):
        for name in names:
            if name == COMPLETION:
                raise UsageError(
                    f"{flag}: completion_rate is compared as {ERRORS}, its other side", hint=f"name {ERRORS}"
                )
            if name not in known:
                near = did_you_mean(name, sorted(known))
                raise UsageError(
                    f"{flag}: the runs have no scores of {name!r} in common",
                    hint=near or "they have " + ", ".join(sorted(known)),
                )
    for name in question.fail_if_worse:
        if name not in better:
            raise UsageError(
                f"--fail-if-worse {name}: it does not say which way is better",
                hint=f"say it with --lower-is-better {name} or --higher-is-better {name}",
            )


def not_in_all(runs: Sequence[MeasuredRun]) -> list[str]:
    """Scores that some of the runs do not have, a sentence each."""
    names = sorted({name for run in runs for name in run.measures if name not in DIRECTIONS})
    return [
        f"{name}, where a run has no scores of it" for name in names if any(name not in run.measures for run in runs)
    ]
