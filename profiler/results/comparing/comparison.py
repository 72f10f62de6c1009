"""One metric of two runs: both values, their paired difference with its interval and p, and what follows from them."""

from __future__ import annotations

from array import array
from itertools import compress
from math import fsum, isnan
from operator import eq, sub
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from profiler.results.comparing.bootstrap import compare_values
from profiler.results.comparing.corrections import holm_of_known
from profiler.results.comparing.measured_run import ERRORS, NAMED
from profiler.results.comparing.paired_tests import (
    Constant,
    TrueFalse,
    compare_clusters,
    equivalence,
    pairs_needed,
    smallest_seen,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from profiler.metrics.intervals import Interval
    from profiler.metrics.metric import Better
    from profiler.results.comparing.dialogue_ids import DialogueIds
    from profiler.results.comparing.measured_run import MeasuredRun, Numbers
    from profiler.results.comparing.paired_tests import PairedTest

LEVEL: Final = 0.05
UNBOUNDED: Final = ("cost_usd", "latency_s", "ttft_s", "gap_p95_s", "tokens_per_s", "input_tokens", "output_tokens")

Verdict = Literal[
    "better", "worse", "different", "equivalent", "identical", "no difference shown", "too few pairs to say"
]


class Flips(msgspec.Struct, frozen=True):
    """Dialogues whose true/false score changed; the first thousand of each kind by id."""

    to_true: int
    to_false: int
    to_true_ids: list[str]
    to_false_ids: list[str]


class Equivalence(msgspec.Struct, frozen=True):
    margin: float
    p: float | None
    p_corrected: float | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`ci95` is not corrected for how many comparisons there are; `p_corrected` is (Holm), and the verdict follows it.
    `smallest_seen`: the true difference that so many pairs show in four of five cases; `pairs_needed` to show the one
    that was seen. `bounds`: the difference if every error were wrong in one run and right in the other."""

    metric: str
    better: Better | None
    n: int
    base: float | None
    new: float | None
    difference: float | None
    ci95: Interval | None
    p: float | None
    method: str | None
    p_corrected: float | None = None
    verdict: Verdict = "too few pairs to say"
    smallest_seen: float | None = None
    pairs_needed: int | None = None
    equivalence: Equivalence | None = None
    flips: Flips | None = None
    bounds: Interval | None = None
    note: str | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one metric of two runs before it is corrected: the differences, and the test. `known` has a 1 for
    each place that has one, and is None where all have."""

    metric: str
    better: Better | None
    n: int
    identical: bool
    differences: array[float]
    known: bytes | None
    base: float | None
    new: float | None
    test: PairedTest | None
    note: str | None
    flips: Flips | None
    bounds: Interval | None

    def without_differences(self) -> Measured:
        """The same without the differences, which nobody needs once the slices are cut: a million of them are eight
        megabytes."""
        return msgspec.structs.replace(self, differences=self.differences[:0], known=None)

    @property
    def sign(self) -> float:
        """What makes a difference an improvement when it is positive; 0 where neither way is one."""
        return {"higher": 1.0, "lower": -1.0, None: 0.0}[self.better]


def measure(
    base: MeasuredRun,
    new: MeasuredRun,
    metric: str,
    *,
    better: Better | None,
    clusters: Sequence[int] | None = None,
    family: int = 1,
) -> Measured:
    """`family`: about how many comparisons will be corrected together."""
    left, right = base.measures[metric], new.measures[metric]
    gaps = _gaps(left, right)
    known = None if not isnan(sum(gaps)) else bytes(map(eq, gaps, gaps))  # NaN is not equal to itself
    differences = gaps if known is None else _array_like(left, compress(gaps, known))
    n = len(differences)
    flips = None
    if metric in base.true_false and metric in new.true_false:
        flips = _flips(base.ids, gaps)
    if clusters is not None and known is not None:
        clusters = list(compress(clusters, known))
    test, note = _tested(differences, flips=flips, clusters=clusters, family=family)
    return Measured(
        metric=metric,
        better=better,
        n=n,
        identical=not any(differences),
        differences=differences,
        known=known,
        base=fsum(left if known is None else compress(left, known)) / n if n else None,
        new=fsum(right if known is None else compress(right, known)) / n if n else None,
        test=test,
        note=note,
        flips=flips,
        bounds=None if known is None or metric == ERRORS else _bounds(base, new, metric, known, differences),
    )


def _gaps(left: Numbers, right: Numbers) -> Numbers:
    """What the second has more than the first. Often nothing failed in either, and nothing was refused."""
    if left.tobytes() == right.tobytes() and not isnan(sum(left)):
        return array("d", bytes(8 * len(left)))
    return array("d", map(sub, right, left))


def _array_like(column: Numbers, values: Any) -> Numbers:
    made = column[:0]
    made.extend(values)
    return made


def _tested(
    differences: Sequence[float], *, flips: Flips | None, clusters: Sequence[int] | None, family: int
) -> tuple[PairedTest | None, str | None]:
    if not differences:
        return None, None
    if clusters is not None:
        return compare_clusters(differences, clusters), None
    if flips is not None:
        return TrueFalse(len(differences), flips.to_true, flips.to_false), None
    return compare_values(differences, family=family)


def _flips(ids: DialogueIds, gaps: array[float]) -> Flips:
    named: dict[float, list[str]] = {1.0: [], -1.0: []}
    counts = {sign: gaps.count(sign) for sign in named}
    for sign, found in named.items():
        at = -1
        for _ in range(min(NAMED, counts[sign])):
            at = gaps.index(sign, at + 1)
            found.append(ids[at])
    return Flips(counts[1.0], counts[-1.0], named[1.0], named[-1.0])


def _bounds(
    base: MeasuredRun, new: MeasuredRun, metric: str, known: bytes, differences: array[float]
) -> Interval | None:
    """Of scores from 0 to 1, where failed dialogues have none."""
    if metric in UNBOUNDED or not (base.within_bounds(metric) and new.within_bounds(metric)):
        return None
    low = high = fsum(differences)
    pairs = n = sum(known)
    unknown = -1
    while (unknown := known.find(0, unknown + 1)) >= 0:
        before, after = _possible(base, metric, unknown), _possible(new, metric, unknown)
        if before is not None and after is not None:
            n += 1
            low += after[0] - before[1]
            high += after[1] - before[0]
    return None if n == pairs else (low / n, high / n)


def _possible(run: MeasuredRun, metric: str, place: int) -> Interval | None:
    """What a score may be: itself, or anything where the call failed."""
    score, failed = run.measures[metric][place], run.measures[ERRORS][place]
    if not isnan(score):
        return score, score
    return (0.0, 1.0) if failed > 0 else None


def judged(measured: Sequence[Measured], *, margins: Mapping[str, float]) -> list[Comparison]:
    """The comparisons with their verdicts, all judged together: each is corrected for how many there are."""
    corrected = holm_of_known([each.test.p if each.test else None for each in measured])
    outside = [
        equivalence(each.test, margins[each.metric]) if each.test and each.metric in margins else None
        for each in measured
    ]
    family = sum(p is not None for p in corrected)
    return [
        _judged(each, p, Equivalence(margins[each.metric], raw, within) if each.metric in margins else None, family)
        for each, p, raw, within in zip(measured, corrected, outside, holm_of_known(outside), strict=True)
    ]


def _judged(measured: Measured, p: float | None, within: Equivalence | None, family: int) -> Comparison:
    test = measured.test
    return Comparison(
        metric=measured.metric,
        better=measured.better,
        n=measured.n,
        base=measured.base,
        new=measured.new,
        difference=test.difference if test else None,
        ci95=test.interval if test else None,
        p=test.p if test else None,
        method=test.method if test else None,
        p_corrected=p,
        verdict=_verdict(measured, p, within),
        smallest_seen=smallest_seen(test, family=family) if test else None,
        pairs_needed=pairs_needed(test, test.difference, family=family) if test else None,
        equivalence=within,
        flips=measured.flips,
        bounds=measured.bounds,
        note=measured.note,
    )


def _verdict(measured: Measured, p: float | None, within: Equivalence | None) -> Verdict:
    if p is None or measured.test is None:
        return "too few pairs to say"
    if p <= LEVEL:
        gain = measured.sign * measured.test.difference
        return "different" if not gain else "better" if gain > 0 else "worse"
    if within is not None and within.p_corrected is not None and within.p_corrected <= LEVEL:
        return "equivalent"
    if measured.identical:
        return "identical"
    return "too few pairs to say" if isinstance(measured.test, Constant) else "no difference shown"
