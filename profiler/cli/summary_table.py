"""Shows the numbers of one or several summaries as tables.

A summary may come from a file that somebody else wrote, so any value may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TextIO

from profiler.cli import timing_table
from profiler.cli.table import NOTHING, Table, clean, count_cell, draw, number_cell
from profiler.core.wording import kept_in_words
from profiler.metrics.summary import part_of
from profiler.provider.source import OWN_CLIENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPEATED: Final = ("effective n", "variance within", "between dialogues")
MODES: Final = {
    "mock": "MODE: MOCK - the replies are simulated, no model was called",
    "live": "MODE: LIVE - the replies come from the API",
}


def render(
    summaries: Sequence[Mapping[str, Any]],
    *,
    file: TextIO,
    plain: bool | None = None,
    by_tag: bool = False,
    width: int | None = None,
) -> None:
    """Print the tables. `plain` and `width` are None to suit the file."""
    tables = [_one(summaries[0]), *timing_table.of(summaries[0])] if len(summaries) == 1 else [_several(summaries)]
    if by_tag:
        tables += [_tags(summary) for summary in summaries]
    draw(tables, file=file, plain=plain, width=width)


def _one(summary: Mapping[str, Any]) -> Table:
    metrics = part_of(summary, "metrics")
    repeated = any("n_effective" in found for found in metrics.values() if isinstance(found, dict))
    rows = [row for name, found in metrics.items() for row in _metric_rows(name, found, repeated=repeated)]
    return Table(
        title=f"Experiment Metrics ({_name(summary)})",
        caption=_caption([summary]),
        header=("metric", "value", "95% interval", "n", *(REPEATED if repeated else ())),
        rows=tuple(rows),
        notes=tuple(_notes(summary)),
    )


def _metric_rows(name: str, found: object, *, repeated: bool) -> Iterator[tuple[str, ...]]:
    """A row for a metric, followed by rows for its parts."""
    if isinstance(found, dict) and "value" in found:
        row = name, number_cell(found["value"]), _interval(found.get("ci95")), count_cell(found.get("n"))
        yield (*row, *_of_repeats(found)) if repeated else row
        for part, its in found.items():
            yield from _metric_rows(f"  {part}", its, repeated=repeated)


def _of_repeats(found: Mapping[str, Any]) -> tuple[str, ...]:
    effective, variance = found.get("n_effective"), part_of(found, "variance")
    told = f"{effective:,.1f}" if isinstance(effective, (int, float)) else NOTHING
    return told, number_cell(variance.get("within")), number_cell(variance.get("between"))


def _remarks(name: str, found: object) -> Iterator[str]:
    """Why a metric has no interval, and how many dialogues a part of it could not count."""
    if not isinstance(found, dict):
        return
    if isinstance(found.get("note"), str):
        yield f"{name}: {clean(found['note'])}"
    if (left_out := found.get("left_out")) and "pass^" not in name:  # of pass^k it is the same as of pass@k
        yield f"{name}: {count_cell(left_out)} dialogues have too few scores and are left out"
    for part, its in found.items():
        yield from _remarks(f"{name} {part}", its)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    counts, tokens, attempts = (part_of(summary, key) for key in ("counts", "tokens", "attempts"))
    kinds = ", ".join(f"{kind} {count_cell(counts.get(kind))}" for kind in ("answer", "refusal", "truncated", "error"))
    errors = ", ".join(f"{kind} {count_cell(count)}" for kind, count in part_of(counts, "errors").items())
    told = ", ".join(f"{name} {count_cell(count)}" for name, count in tokens.items() if name != "n" and count)
    sessions = part_of(summary, "run").get("sessions")
    return [
        *_unfinished(summary),
        *[
            f"{name} failed and has no value: {found['error']}"
            for name, found in part_of(summary, "metrics").items()
            if isinstance(found, dict) and "error" in found
        ],
        *[line for name, found in part_of(summary, "metrics").items() for line in _remarks(name, found)],
        f"{_asked(summary)}: {kinds}" + (f" ({errors})" if errors else ""),
        *[
            f"{name} {_times(part_of(summary, name))}"
            for name in ("latency_s", "queue_s")
            if part_of(summary, name).get("n") and "ci95" not in part_of(summary, name)
        ],
        *timing_table.where_time_went(summary),
        *([f"tokens {told}"] if told else []),
        *(
            [f"attempts {count_cell(attempts['total'])}, retried {count_cell(attempts.get('retried'))}"]
            if attempts.get("n")
            else []
        ),
        f"cost {_cost(summary)}",
        *_reused(summary),
        *([f"sessions {len(sessions)}"] if isinstance(sessions, list) and len(sessions) > 1 else []),
    ]


def _reused(summary: Mapping[str, Any]) -> Iterator[str]:
    found = part_of(summary, "reused")
    if count := found.get("n"):
        once = found.get("cost_usd")
        price = f", which once cost ${once:.4f}" if isinstance(once, (int, float)) else ""
        yield f"answers taken over from earlier runs {count_cell(count)}{price}"


def _unfinished(summary: Mapping[str, Any]) -> Iterator[str]:
    run = part_of(summary, "run")
    if run.get("state") in ("running", "unfinished"):
        yield (
            f"{str(run['state']).upper()}: {kept_in_words(run)}"
            + ("" if run["state"] == "running" else "; the same `profiler run` command goes on")
        )


def _asked(summary: Mapping[str, Any]) -> str:
    run, total = part_of(summary, "run"), count_cell(part_of(summary, "counts").get("total"))
    if "items" not in run:
        return f"dialogues {total}"
    return f"dialogues {count_cell(run.get('dialogues'))}, each asked {count_cell(run.get('repeats'))} times, answers {total}"


def _several(summaries: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for summary in summaries for name in part_of(summary, "metrics")))
    mixed = len({_mode(summary) for summary in summaries}) > 1
    rows = [
        (
            _name(summary),
            *([_mode(summary)] if mixed else []),
            *[_with_interval(summary.get(name), part_of(summary, "metrics").get(name)) for name in names],
            _dialogues(summary),
            *[number_cell(part_of(summary, "latency_s").get(quantile)) for quantile in ("p50", "p95")],
            *[count_cell(part_of(summary, "tokens").get(token)) for token in ("input", "output")],
            _short_cost(summary),
            count_cell(part_of(summary, "counts").get("error")),
        )
        for summary in summaries
    ]
    measured = ("n", "p50 s", "p95 s", "tokens in", "tokens out", "cost", "errors")
    return Table(
        title=f"Experiment Metrics ({len(summaries)} experiments)",
        caption=_caption(summaries),
        header=("experiment", *(["mode"] if mixed else []), *names, *measured),
        rows=tuple(rows),
        notes=tuple(note for summary in summaries for note in _footnotes(summary)),
    )


def _footnotes(summary: Mapping[str, Any]) -> Iterator[str]:
    """Notes below the table, for what does not fit into a row."""
    for line in _unfinished(summary):
        yield f"{_name(summary)}: {line}"
    if _short_cost(summary).endswith("*"):
        yield f"* {_name(summary)}: cost {_cost(summary)}"


def _dialogues(summary: Mapping[str, Any]) -> str:
    run = part_of(summary, "run")
    if run.get("state") in ("running", "unfinished"):
        return f"{count_cell(run.get('kept'))} of {count_cell(run.get('items', run.get('dialogues')))}"
    return count_cell(part_of(summary, "counts").get("total"))


def _tags(summary: Mapping[str, Any]) -> Table:
    names = list(part_of(summary, "metrics"))
    groups = {**part_of(summary, "by_tag")}
    other = part_of(summary, "by_tag_other")
    rows = [
        (
            clean(tag),
            count_cell(group.get("n")),
            *[_with_interval(part_of(group, name).get("value"), group.get(name)) for name in names],
        )
        for tag, group in [*groups.items(), *([("(other tags)", other)] if other else [])]
        if isinstance(group, dict)
    ]
    return Table(
        title=f"By tag ({_name(summary)})",
        caption=_caption([summary]),
        header=("tag", "n", *names),
        rows=tuple(rows),
    )


def _with_interval(value: object, found: object) -> str:
    """The value, with its 95 % interval on a second line."""
    bounds = found.get("ci95") if isinstance(found, dict) else None
    if not (isinstance(bounds, list) and len(bounds) == 2):
        return number_cell(value)
    return f"{number_cell(value)}\n{_short(bounds[0])}..{_short(bounds[1])}"


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else NOTHING


def _name(summary: Mapping[str, Any]) -> str:
    return clean(str(part_of(summary, "run").get("experiment_id", "?")))


def _mode(summary: Mapping[str, Any]) -> str:
    return str(part_of(summary, "run").get("mode", "unknown")).upper()


def _own_client(summary: Mapping[str, Any]) -> str | None:
    found = str(part_of(summary, "run").get("client"))
    return clean(found) if found.startswith(OWN_CLIENT) else None


def _caption(summaries: Sequence[Mapping[str, Any]]) -> str:
    own = sorted({client for summary in summaries if (client := _own_client(summary))})
    if own:
        told = " and ".join(sorted({_mode(summary) for summary in summaries}))
        return f"MODE: {told} - answered by {', '.join(own)}; whether a model was called, only it knows"
    modes = {_mode(summary).lower() for summary in summaries}
    if len(modes) > 1:
        return "MODE: MIXED - the column says which: " + " and ".join(sorted(mode.upper() for mode in modes))
    return MODES.get("".join(modes), "MODE: UNKNOWN - the summary does not say whether a model was called")


def _interval(value: object) -> str:
    return (
        f"{number_cell(value[0])} .. {number_cell(value[1])}"
        if isinstance(value, list) and len(value) == 2
        else NOTHING
    )


def _times(times: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number_cell(times.get(name))}" for name in ("p50", "p90", "p95", "p99", "max"))


def _cost(summary: Mapping[str, Any]) -> str:
    """The cost from the log where it has costs, else from the run's own count; with what failed calls may have cost."""
    total, unknown, run = summary.get("cost_usd"), part_of(summary, "cost").get("unknown"), part_of(summary, "run")
    if not isinstance(total, (int, float)):
        total, unknown = run.get("spent_usd"), 0
    if not isinstance(total, (int, float)):
        return "unknown"
    maybe = run.get("maybe_billed_usd")
    told = f" (+ up to ${maybe:.4f} maybe billed)" if isinstance(maybe, (int, float)) and maybe else ""
    return f"${total:.4f}" + (f" + {count_cell(unknown)} unknown" if unknown else "") + told


def _short_cost(summary: Mapping[str, Any]) -> str:
    """The cost as a bare number, with a star where a footnote says more."""
    whole = _cost(summary)
    number, _, more = whole.partition(" ")
    return f"{number}*" if more else number
