"""A comparison as Markdown, for a comment on a pull request.

Names come from files: they stand as code, where neither markup nor mentions nor links come alive.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from profiler.cli.comparing import words
from profiler.cli.table import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.results.comparing.comparison import Comparison
    from profiler.results.comparing.findings import Findings

SLICES: Final = 20
RULE: Final = "|---|---:|---:|---:|---|"


def code(text: str) -> str:
    """The text as inline code, with enough backticks around it for whatever it holds."""
    shown = clean(" ".join(text.split())) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """The same for a cell of a table, where a `|` would end the cell even inside code."""
    return code(text).replace("|", "\\|")


STYLE: Final = words.Style(code, code)


def markdown(findings: Findings, *, by_tag: bool) -> str:
    return "\n".join(_lines(findings, by_tag=by_tag)) + "\n"


def _lines(findings: Findings, *, by_tag: bool) -> Iterator[str]:
    for against in findings.against:
        base, new = findings.base, against.new
        yield f"### {code(base.name)} and {code(new.name)}"
        yield ""
        yield (
            f"base: {code(base.mode)} {code(base.model or 'unknown model')}, new: {code(new.mode)} {code(new.model or 'unknown model')}. "
            + words.pairing(against, base.name, style=STYLE)
        )
        yield ""
        yield "| metric | base | new | difference (95 %) | verdict |"
        yield RULE
        yield from map(_row, against.comparisons)
        yield ""
        yield from (f"- {line}" for line in words.sentences(against, style=STYLE))
        parts = [each for each in against.slices if by_tag or each.shown]
        if parts:
            yield ""
            yield "| tag | n | difference | q | metric |"
            yield RULE
            for each in parts if by_tag else parts[:SLICES]:
                difference = words.number(each.difference, each.metric, signed=True)
                yield f"| {cell(each.tag)} | {each.n:,} | {difference} | {words.p_value(each.q)} | {cell(each.metric)} |"
        yield ""
    yield words.below(findings, style=STYLE)
    yield ""
    yield from (f"- {line}" for line in words.conclusions(findings, style=STYLE))


def _row(each: Comparison) -> str:
    metric = each.metric
    gap = f"{words.number(each.difference, metric, signed=True)} ({words.interval(each)})"
    verdict = f"{each.verdict}, p {words.p_value(each.p_corrected)}"
    values = f"{words.number(each.base, metric)} | {words.number(each.new, metric)}"
    return f"| {cell(words.label(metric))} n {each.n:,} | {values} | {gap} | {verdict} |"
