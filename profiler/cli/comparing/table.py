"""A comparison as tables that fit 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from profiler.cli.comparing import words
from profiler.cli.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.results.comparing.comparison import Comparison
    from profiler.results.comparing.findings import Against, Findings
    from profiler.results.comparing.slices import Slice

WIDTH: Final = 80
SLICES: Final = 20
HEADER: Final = ("metric", "base", "new", "difference", "verdict")


def tables(findings: Findings, *, by_tag: bool) -> Iterator[Table]:
    last = len(findings.against) - 1
    for number, against in enumerate(findings.against):
        notes = [
            words.pairing(against, findings.base.name, style=words.PLAIN),
            *words.sentences(against, style=words.PLAIN),
        ]
        parts = against.slices if by_tag else [each for each in against.slices if each.shown][:SLICES]
        closing = (
            [words.below(findings, style=words.PLAIN), *words.conclusions(findings, style=words.PLAIN)]
            if number == last
            else []
        )
        yield Table(
            title=_in_lines(f"{findings.base.name} (base) and {against.new.name} (new)"),
            caption=_caption(findings, against),
            header=HEADER,
            rows=tuple(map(_row, against.comparisons)),
            notes=_wrapped([*notes, *([] if parts else closing)]),
        )
        if parts:
            yield _sliced(against, parts, closing)


def _caption(findings: Findings, against: Against) -> str:
    sides = (findings.base, against.new)
    modes = dict.fromkeys(side.mode.upper() for side in sides)
    models = " and ".join(dict.fromkeys(side.model or "unknown model" for side in sides))
    return _in_lines(f"MODE: {' and '.join(modes)} | {models}")


def _in_lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH))


def _row(each: Comparison) -> tuple[str, ...]:
    verdict = each.verdict.replace("no difference shown", "no difference\nshown").replace(" pairs to", " pairs\nto")
    p = words.p_value(each.p_corrected)
    return (
        f"{words.label(each.metric)}\n  n {each.n:,}",
        words.number(each.base, each.metric),
        words.number(each.new, each.metric),
        f"{words.number(each.difference, each.metric, signed=True)}\n{words.interval(each)}",
        verdict + (f", p {p}" if "\n" in verdict else f"\np {p}"),
    )


def _sliced(against: Against, parts: list[Slice], closing: list[str]) -> Table:
    beyond = sum(each.shown for each in against.slices) - len(parts)
    more = [f"{beyond:,} more with --by-tag."] if beyond > 0 else []
    return Table(
        title=_in_lines(f"Where {against.new.name} differs, by tag"),
        caption="q: p with the false-discovery rate over all tags and metrics controlled",
        header=("tag", "metric", "n", "difference", "q"),
        rows=tuple(
            (
                each.tag,
                words.label(each.metric),
                f"{each.n:,}",
                words.number(each.difference, each.metric, signed=True),
                words.p_value(each.q),
            )
            for each in parts
        ),
        notes=_wrapped([*more, *closing]),
    )


def _wrapped(lines: list[str]) -> tuple[str, ...]:
    return tuple(part for line in lines for part in textwrap.wrap(line, WIDTH - 1, subsequent_indent="  "))
