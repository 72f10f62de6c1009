"""What a comparison is told in: numbers as they are shown, and the sentences below a table.

A `Style` says how what came from a file is shown: in quotes on a terminal, as code in Markdown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from profiler.results.comparing.comparison import Comparison
    from profiler.results.comparing.findings import Against, Findings
    from profiler.results.comparing.which_run import Cheapest


class Style(NamedTuple):
    """How a format shows names: `name` renders one, `sentence` a sentence that may contain some."""

    name: Callable[[str], str]
    sentence: Callable[[str], str]


PLAIN: Final = Style(repr, str)
PER_THOUSAND: Final = "cost_usd"  # the cost of one dialogue has too many zeros to be read
SHOWN_IDS: Final = 5


def label(metric: str) -> str:
    return f"{metric} per 1,000" if metric == PER_THOUSAND else metric


def number(value: float | None, metric: str, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    value = value * 1000 if metric == PER_THOUSAND else value
    size, plus = abs(value), "+" if signed else ""
    if size >= 1000:
        return f"{value:{plus},.0f}"
    if size >= 10:
        return f"{value:{plus}.2f}"
    return f"{value:{plus}.4f}" if size >= 0.001 or value == 0 else f"{value:{plus}.2g}"


def interval(comparison: Comparison) -> str:
    if comparison.ci95 is None:
        return "no interval"
    low, high = (number(bound, comparison.metric, signed=True) for bound in comparison.ci95)
    return f"{low} to {high}"


def p_value(p: float | None) -> str:
    return "-" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def pairing(against: Against, base: str, *, style: Style) -> str:
    found = against.pairing
    parts = [f"{found.paired:,} dialogues are paired"]
    for name, count, ids in (
        (base, found.only_in_base, found.only_in_base_ids),
        (against.new.name, found.only_in_new, found.only_in_new_ids),
    ):
        if count:
            parts.append(f"{count:,} only in {style.name(name)} ({ids_of(ids, count, style=style)})")
    return ", ".join(parts) + "."


def ids_of(ids: Sequence[str], count: int, *, style: Style) -> str:
    more = f" and {count - SHOWN_IDS:,} more" if count > SHOWN_IDS else ""
    return ", ".join(map(style.name, ids[:SHOWN_IDS])) + more


def sentences(against: Against, *, style: Style) -> Iterator[str]:
    """What the numbers of the table do not say by themselves."""
    for warning in against.warnings:
        yield f"Warning: {style.sentence(warning)}."
    for each in against.comparisons:
        name = style.name(each.metric)
        yield from _flips(each, name, style)
        if each.bounds is not None:
            low, high = (number(bound, each.metric, signed=True) for bound in each.bounds)
            yield f"{name}: {low} to {high} if every error were wrong in one run and right in the other."
        if each.equivalence is not None and each.verdict != "equivalent":
            yield (
                f"{name}: equivalent within ± {number(each.equivalence.margin, each.metric)} is not shown "
                f"(p {p_value(each.equivalence.p_corrected)})."
            )
        if each.verdict == "no difference shown":
            yield _could_have_been_seen(each, name)
        if each.note is not None:
            yield f"{name}: {each.note}."


def _flips(each: Comparison, name: str, style: Style) -> Iterator[str]:
    if each.flips is None:
        return
    true, false = {"higher": ("right", "wrong"), "lower": ("wrong", "right"), None: ("true", "false")}[each.better]
    for old, new, count, ids in (
        (true, false, each.flips.to_false, each.flips.to_false_ids),
        (false, true, each.flips.to_true, each.flips.to_true_ids),
    ):
        if count:
            yield f"{name}: {count:,} went from {old} to {new}: {ids_of(ids, count, style=style)}."


def _could_have_been_seen(each: Comparison, name: str) -> str:
    seen = number(each.smallest_seen, each.metric)
    words = (
        f"{name}: with {each.n:,} pairs a true difference of {seen} would have been shown at least four times in five"
    )
    if each.pairs_needed is not None and each.pairs_needed > each.n:
        words += f"; the one that was seen would need up to {each.pairs_needed:,} pairs"
    return words + "."


def below(findings: Findings, *, style: Style) -> str:
    """How the numbers are to be read."""
    over = f", clustered by {style.name(findings.cluster_by)}" if findings.cluster_by else ""
    plural = "comparison" if findings.family == 1 else "comparisons"
    return (
        f"p is corrected for {findings.family:,} {plural} (Holm), and the verdict follows it; the 95 % intervals are not "
        f"corrected{over}."
    )


def conclusions(findings: Findings, *, style: Style) -> Iterator[str]:
    """The sentences about all runs together, such as which is the cheapest that is not worse."""
    for each in findings.cheapest:
        yield _cheapest(each, style)
    for one in findings.dominated:
        yield f"{style.name(one.run)} need not be taken: {style.name(one.by)} is shown better in one of quality, cost and latency, and not worse in the mean of any."
    for gate in findings.gates:
        by = f" by more than {number(gate.margin, gate.metric)}" if gate.margin else ""
        state = {
            "worse": f"is shown to be worse{by}",
            "not worse": f"is not worse{by}",
            "undecided": f"may be worse{by} or not: too few pairs to decide",
        }[gate.state]
        yield f"{style.name(gate.metric)}: {style.name(gate.run)} {state}."
    if findings.gates:  # the table may say "no difference shown" of what these say is worse
        alone = "its one question" if len(findings.gates) == 1 else f"its {len(findings.gates):,} questions"
        yield f"What --fail-if-worse asks is tested one-sided (2.5 %) and corrected for {alone} alone, not for the table."
    yield from (f"Not compared: {style.sentence(line)}." for line in findings.not_compared)


def _cheapest(each: Cheapest, style: Style) -> str:
    words = f"By {style.name(each.metric)} the best is {style.name(each.best)}; "
    fit = [one for one in each.candidates if one.run == each.cheapest]
    unknown = [style.name(one.run) for one in each.candidates if one.not_worse and one.cost_usd is None]
    if not fit:
        return words + "which is the cheapest cannot be said, for what the runs cost is not known."
    cost = number(fit[0].cost_usd, PER_THOUSAND)
    they = "it is" if len(unknown) == 1 else "they are"
    margin = number(each.margin, each.metric)
    return words + (
        f"the cheapest that is shown not to be worse by more than {margin} is {style.name(fit[0].run)}, at {cost} USD for "
        "1,000 dialogues."
        + (f" What {' and '.join(unknown)} cost is not known, so {they} left out." if unknown else "")
    )
