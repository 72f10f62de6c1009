"""Writes a full run to `benchmarks/RESULTS.md`, and its head between two markers in README.md.

The head is what a reader of the README wants to know: which goals were met, on which machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.process import ROOT
from benchmarks.report import ADVICE, HEADINGS, described, judged, notes, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.report import Report, Row

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
TITLE = "# Benchmark results"
DETAILS = "## All figures"
REPEAT = """\
## How to repeat it

```console
$ make bench-peers   # once: the programs that the engine is compared with, in an environment of their own
$ make bench ARGS="{words}"
```

`make bench ARGS="--runs 1"` takes about eight minutes. What each scenario measures, and why in that way, is said at the top of
its module in `benchmarks/scenarios/`.
"""


class NoMarkers(Exception):
    """README.md has no markers for the head."""


def write(report: Report, *, words: Sequence[str], results: Path = RESULTS, readme: Path = README) -> None:
    text = readme.read_text(encoding="utf-8")
    document = results_of(report, words=words)
    readme_text = with_head(text, head_of(document))
    results.write_text(document, encoding="utf-8")
    readme.write_text(readme_text, encoding="utf-8")


def results_of(report: Report, *, words: Sequence[str]) -> str:
    parts = [
        TITLE,
        ADVICE,
        "\n".join(f"- {line}" for line in [report.machine["measured"], *described(report.machine).splitlines()]),
        _table(judged(report)),
        REPEAT.format(words=" ".join(words)).rstrip(),
        DETAILS,
        _table(rows(report)),
        "\n".join(f"- {line}" for line in [*notes(report), *report.words]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def last_run(results: Path = RESULTS) -> str:
    """The document as it is; empty before the first full run."""
    return results.read_text(encoding="utf-8") if results.exists() else ""


def head_of(document: str) -> str:
    """The part between the title and how to repeat it."""
    return document.partition("\n\n")[2].partition("\n\n## ")[0]


def with_head(text: str, head: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise NoMarkers(f"README.md: found no lines {BEGIN} and {END}, expected the head between them")
    return f"{before}{BEGIN}\n\n{head}\n\n{END}{after}"


def head_in(text: str) -> str:
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def _table(lines: Iterable[Row]) -> str:
    ruler = ["---" if column < 2 else "---:" for column in range(len(HEADINGS))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [HEADINGS, ruler, *lines])
