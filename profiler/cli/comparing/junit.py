"""The verdicts of a comparison as JUnit XML, which every CI system shows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from profiler.cli.comparing import words
from profiler.cli.table import clean

if TYPE_CHECKING:
    from profiler.results.comparing.findings import Findings


def junit(findings: Findings, *, strict: bool) -> bytes:
    """One test case for each --fail-if-worse and run; without that flag, one for each metric and run, none of which fails."""
    cases, failures, skipped = [], 0, 0
    for gate in findings.gates:
        inside = ""
        if gate.state == "worse" or (strict and gate.state == "undecided"):
            failures += 1
            inside = f"<failure message={_attribute(f'{gate.state}: p {words.p_value(gate.p_worse)}')}/>"
        elif gate.state == "undecided":
            skipped += 1
            inside = f"<skipped message={_attribute('undecided: too few pairs')}/>"
        cases.append(_case(gate.run, f"{gate.metric} is not worse by more than {gate.margin:g}", inside))
    if not findings.gates:
        cases = [
            _case(against.new.name, f"{each.metric}: {each.verdict}", "")
            for against in findings.against
            for each in against.comparisons
        ]
    counts = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'
    body = "\n".join(cases)
    suite = f"<testsuite name={_attribute(f'compare with {findings.base.name}')} {counts}>\n{body}\n</testsuite>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{suite}\n</testsuites>\n'.encode()


def _case(run: str, name: str, inside: str) -> str:
    head = f"<testcase classname={_attribute(run)} name={_attribute(name)}"
    return f"{head}>{inside}</testcase>" if inside else f"{head}/>"


def _attribute(text: str) -> str:
    return quoteattr(clean(text))
