"""Shows figures as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from benchmarks.figure import Figure

Row = tuple[str, str, str, str, str, str]
HEADINGS: Row = ("scenario", "figure", "value", "min – max", "goal", "met")
RIGHT = (2, 3, 4)
ADVICE = "These are this machine's figures, on this day. Compare ratios (both sides in one run), never times of two machines."
QUICK = "--quick: sizes too small to judge by; goals are not checked."


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run of the benchmarks found."""

    found: dict[str, list[Figure]]
    machine: dict[str, Any]
    quick: bool = False
    words: Sequence[str] = ()


def as_json(report: Report) -> dict[str, Any]:
    quick = report.quick
    return {
        "machine": report.machine,
        "quick": quick,
        "words": list(report.words),
        "figures": [
            {
                "scenario": scenario,
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "low": figure.low,
                "high": figure.high,
                "goal": _goal(figure) or None,
                "met": None if quick else figure.met,
                "note": figure.note,
            }
            for scenario, figures in report.found.items()
            for figure in figures
        ],
    }


def show(report: Report, *, file: TextIO) -> None:
    shown = rows(report)
    print("\n".join([ADVICE, *([QUICK] if report.quick else []), described(report.machine), ""]), file=file)
    if file.isatty():
        _draw(shown, file=file)
    else:
        print(_aligned([HEADINGS, *shown]), file=file)
    print("\n".join([*notes(report), *report.words]), file=file)


def described(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    before, after = machine["load"][0], machine["load_after"][0]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}\n"
        f"{machine['python']}, profiler {machine['profiler']}, {packages}; load {before} before, {after} after"
    )


def rows(report: Report) -> list[Row]:
    return [_row(scenario, each, quick=report.quick) for scenario, figures in report.found.items() for each in figures]


def judged(report: Report) -> list[Row]:
    """The rows that have a goal."""
    return [row for row in rows(report) if row[4]]


def notes(report: Report) -> list[str]:
    return [
        f"{scenario}.{figure.name}: {figure.note}"
        for scenario, figures in report.found.items()
        for figure in figures
        if figure.note
    ]


def _row(scenario: str, figure: Figure, *, quick: bool) -> Row:
    met = {None: "", True: "yes", False: "NO"}[None if quick else figure.met]
    spread = "" if figure.low is None or figure.high is None else f"{number(figure.low)} – {number(figure.high)}"
    return scenario, figure.name, f"{number(figure.value)} {figure.unit}".rstrip(), spread, _goal(figure), met


def _goal(figure: Figure) -> str:
    bounds = (("≥", figure.at_least), ("≤", figure.at_most))
    return " ".join(f"{sign} {number(bound)}" for sign, bound in bounds if bound is not None)


def number(value: float) -> str:
    """A number with three digits: a benchmark does not know more."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _aligned(rows: Sequence[Row]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(_padded(row, widths)).rstrip() for row in rows)


def _padded(row: Row, widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column in RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _draw(rows: Sequence[Row], *, file: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415 (what measures memory should not hold it)
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    for column, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if column in RIGHT else "left")
    for row in rows:
        table.add_row(*row, style="bold red" if row[-1] == "NO" else None)
    Console(file=file).print(table)
