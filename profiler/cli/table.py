"""The numbers of one or several summaries as a table for people.

Comes in: summaries as `summary.build` makes them or `summary.read` reads them, so any value may be missing. Goes out:
text on a file, through rich on a terminal that can show it, else as plain aligned columns with the same numbers.
Knows nothing of outcomes or states.
"""

from __future__ import annotations

import importlib.util
import os
import unicodedata
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTHING: Final = "-"
MODES: Final = {
    "mock": "MODE: MOCK - the replies are simulated, no model was called",
    "live": "MODE: LIVE - the replies come from the API",
}
Row = tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    caption: str
    header: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def render(
    summaries: Sequence[Mapping[str, Any]], *, file: TextIO, plain: bool | None = None, by_tag: bool = False
) -> None:
    """`plain` None decides by the file: rich needs a terminal, UTF-8 and to be installed."""
    tables = [_one(summaries[0])] if len(summaries) == 1 else [_several(summaries)]
    if by_tag:
        tables += [_tags(summary) for summary in summaries]
    draw(tables, file=file, plain=plain)


def draw(tables: Sequence[Table], *, file: TextIO, plain: bool | None = None) -> None:
    drawer = _draw_plain if plain or (plain is None and not _can_show_rich(file)) else _draw_rich
    for table in tables:
        drawer(table, file=file)


def _can_show_rich(file: TextIO) -> bool:
    encoding = (getattr(file, "encoding", None) or "").lower().replace("-", "").replace("_", "")
    return file.isatty() and encoding == "utf8" and importlib.util.find_spec("rich") is not None


# --- what is said ---------------------------------------------------------------------------------------------------


def _one(summary: Mapping[str, Any]) -> Table:
    rows = [
        (name, _number(found.get("value")), _interval(found.get("ci95")), _whole(found.get("n")))
        for name, found in _part(summary, "metrics").items()
        if isinstance(found, dict)
    ]
    return Table(
        title=f"Experiment Metrics ({_name(summary)})",
        caption=_caption([summary]),
        header=("metric", "value", "95% interval", "n"),
        rows=tuple(rows),
        notes=tuple(_notes(summary)),
    )


def _notes(summary: Mapping[str, Any]) -> list[str]:
    counts, tokens, attempts = (_part(summary, key) for key in ("counts", "tokens", "attempts"))
    kinds = ", ".join(f"{kind} {_whole(counts.get(kind))}" for kind in ("answer", "refusal", "truncated", "error"))
    errors = ", ".join(f"{clean(kind)} {_whole(count)}" for kind, count in _part(counts, "errors").items())
    told = ", ".join(f"{name} {_whole(count)}" for name, count in tokens.items() if name != "n" and count)
    return [
        f"dialogues {_whole(counts.get('total'))}: {kinds}" + (f" ({errors})" if errors else ""),
        *[
            f"{name} {_times(_part(summary, name))}"
            for name in ("latency_s", "queue_s")
            if _part(summary, name).get("n")
        ],
        *([f"tokens {told}"] if told else []),
        *(
            [f"attempts {_whole(attempts['total'])}, retried {_whole(attempts.get('retried'))}"]
            if attempts.get("n")
            else []
        ),
        f"cost {_cost(summary)}",
    ]


def _several(summaries: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for summary in summaries for name in _part(summary, "metrics")))
    rows = [
        (
            _name(summary),
            _mode(summary),
            *[_number(summary.get(name)) for name in names],
            _whole(_part(summary, "counts").get("total")),
            *[_number(_part(summary, "latency_s").get(quantile)) for quantile in ("p50", "p95")],
            *[_whole(_part(summary, "tokens").get(token)) for token in ("input", "output")],
            _cost(summary),
            _whole(_part(summary, "counts").get("error")),
        )
        for summary in summaries
    ]
    return Table(
        title=f"Experiment Metrics ({len(summaries)} experiments)",
        caption=_caption(summaries),
        header=("experiment", "mode", *names, "n", "p50 s", "p95 s", "tokens in", "tokens out", "cost", "errors"),
        rows=tuple(rows),
    )


def _tags(summary: Mapping[str, Any]) -> Table:
    names = list(_part(summary, "metrics"))
    groups = {**_part(summary, "by_tag")}
    other = _part(summary, "by_tag_other")
    rows = [
        (tag, _whole(group.get("n")), *[_number(_part(group, name).get("value")) for name in names])
        for tag, group in [*groups.items(), *([("(other tags)", other)] if other else [])]
        if isinstance(group, dict)
    ]
    return Table(
        title=f"By tag ({_name(summary)})",
        caption=_caption([summary]),
        header=("tag", "n", *names),
        rows=tuple(rows),
    )


def _part(summary: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = summary.get(key)
    return found if isinstance(found, dict) else {}


def _name(summary: Mapping[str, Any]) -> str:
    return str(_part(summary, "run").get("experiment_id", "?"))


def _mode(summary: Mapping[str, Any]) -> str:
    return str(_part(summary, "run").get("mode", "unknown")).upper()


def _caption(summaries: Sequence[Mapping[str, Any]]) -> str:
    modes = {_mode(summary).lower() for summary in summaries}
    if len(modes) > 1:
        return "MODE: MIXED - the column says which: " + " and ".join(sorted(mode.upper() for mode in modes))
    return MODES.get("".join(modes), "MODE: UNKNOWN - the summary does not say whether a model was called")


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else NOTHING


def _whole(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else NOTHING


def _interval(value: object) -> str:
    return f"{_number(value[0])} .. {_number(value[1])}" if isinstance(value, list) and len(value) == 2 else NOTHING


def _times(times: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_number(times.get(name))}" for name in ("p50", "p90", "p95", "p99", "max"))


def _cost(summary: Mapping[str, Any]) -> str:
    """From the log when it holds costs, else what the run itself counted; with what failed calls may have cost."""
    total, unknown, run = summary.get("cost_usd"), _part(summary, "cost").get("unknown"), _part(summary, "run")
    if not isinstance(total, (int, float)):
        total, unknown = run.get("spent_usd"), 0
    if not isinstance(total, (int, float)):
        return "unknown"
    maybe = run.get("maybe_billed_usd")
    told = f" (+ up to ${maybe:.4f} maybe billed)" if isinstance(maybe, (int, float)) and maybe else ""
    return f"${total:.4f}" + (f" + {_whole(unknown)} unknown" if unknown else "") + told


# --- how it is drawn ------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Names and messages come from files: an escape sequence in one must not reach the terminal."""
    return "".join("?" if unicodedata.category(char).startswith("C") else char for char in text)


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _draw_plain(table: Table, *, file: TextIO) -> None:
    def shown(text: str) -> str:
        encoding = getattr(file, "encoding", None) or "utf-8"
        return clean(text).encode(encoding, "backslashreplace").decode(encoding)

    lines = [tuple(map(shown, row)) for row in (table.header, *table.rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    body = [_aligned(line, widths) for line in (lines[0], rule, *lines[1:])]
    text = [
        shown(table.title),
        shown(table.caption),
        "",
        *body,
        *([""] if table.notes else []),
        *map(shown, table.notes),
    ]
    file.write("\n".join(text) + "\n\n")


def _aligned(line: Row, widths: list[int]) -> str:
    """The first column holds names and starts left, the others hold numbers and end right."""
    cells = [" " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
    first, *others = zip(line, cells, strict=True)
    return "  ".join([first[0] + first[1], *[space + cell for cell, space in others]]).rstrip()


def _draw_rich(table: Table, *, file: TextIO) -> None:
    # Imported here: it costs 40 ms, and a run without a terminal never needs it.
    from rich import box, console, table as rich_table, text  # noqa: I001, PLC0415

    screen = console.Console(file=file, no_color=True if os.environ.get("NO_COLOR") else None, highlight=False)
    colour = "bold yellow" if "MODE: LIVE" not in table.caption else "bold green"
    drawn = rich_table.Table(
        title=text.Text(clean(table.title), style="bold"),
        caption=text.Text(clean(table.caption), style=colour),
        box=box.SIMPLE_HEAD,
    )
    for position, name in enumerate(table.header):
        drawn.add_column(text.Text(clean(name)), justify="right" if position else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*[text.Text(clean(cell)) for cell in row])
    screen.print(drawn)
    for note in table.notes:
        screen.print(text.Text(clean(note)))
