"""The same comparison within each tag: where it got better, and where worse."""

from __future__ import annotations

from array import array
from itertools import accumulate, compress
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.results.comparing.comparison import LEVEL, Comparison
from profiler.results.comparing.corrections import benjamini_hochberg
from profiler.results.comparing.paired_tests import TrueFalse, compare_clusters, compare_means

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from profiler.metrics.intervals import Interval
    from profiler.results.comparing.comparison import Measured
    from profiler.results.comparing.measured_run import MeasuredRun
    from profiler.results.comparing.paired_tests import PairedTest

FEWEST: Final = 10
TOKENS: Final = ("input_tokens", "output_tokens")  # they follow the questions, and cost tells what matters of them
MOST_TAGS: Final = 1_000  # the first in alphabetical order, as in summary.json


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """`q`: p with the share of false discoveries among all slices of these two runs controlled (Benjamini–Hochberg).
    `opposite`: it is shown, and points the other way than the whole does."""

    metric: str
    tag: str
    n: int
    difference: float
    ci95: Interval | None
    p: float
    q: float
    shown: bool
    opposite: bool


def places_by_tag(base: MeasuredRun) -> dict[str, array[int]]:
    found = {tag: array("I") for tags in base.tag_sets for tag in tags}
    adding = [[found[tag].append for tag in dict.fromkeys(tags)] for tags in base.tag_sets]
    for place, number in enumerate(base.tags):
        for add in adding[number]:
            add(place)
    return {tag: found[tag] for tag in sorted(found)[:MOST_TAGS]}


class Cut(msgspec.Struct, frozen=True):
    """One metric within one tag, tested but not corrected."""

    tag: str
    test: PairedTest


def cut(measured: Measured, *, by_tag: Mapping[str, array[int]], clusters: Sequence[int] | None) -> list[Cut]:
    """By every tag with ten pairs or more."""
    if measured.metric in TOKENS:
        return []
    differences, known = measured.differences, measured.known
    place_in = (
        None if known is None else array("I", accumulate(known, initial=0))
    )  # how many are known before each place
    cuts = []
    for tag, places in by_tag.items():
        inside = places if known is None else array("I", compress(places, map(known.__getitem__, places)))
        if len(inside) < FEWEST:
            continue
        at = inside if place_in is None else map(place_in.__getitem__, inside)
        values = array("d", bytes(8 * len(inside)) if measured.identical else map(differences.__getitem__, at))
        if (test := _tested(measured, values, clusters, inside)) is not None:
            cuts.append(Cut(tag, test))
    return cuts


def _tested(
    measured: Measured, values: array[float], clusters: Sequence[int] | None, inside: Sequence[int]
) -> PairedTest | None:
    if clusters is not None:
        return compare_clusters(values, [clusters[place] for place in inside])
    if measured.flips is not None:
        return TrueFalse(len(values), values.count(1.0), values.count(-1.0))
    return compare_means(values)


def slices(cuts: Sequence[tuple[Measured, Sequence[Cut]]]) -> list[Slice]:
    """All of two runs together, those first that are the surest."""
    tested = [(each, one, p) for each, found in cuts for one in found if (p := one.test.p) is not None]
    qs = benjamini_hochberg([p for *_, p in tested])
    found = [
        Slice(
            metric=each.metric,
            tag=one.tag,
            n=one.test.n,
            difference=one.test.difference,
            ci95=one.test.interval,
            p=p,
            q=q,
            shown=q <= LEVEL,
            opposite=q <= LEVEL and each.test is not None and one.test.difference * each.test.difference < 0,
        )
        for (each, one, p), q in zip(tested, qs, strict=True)
    ]
    return sorted(found, key=lambda each: (each.q, -abs(each.difference), each.metric, each.tag))


def reversed_everywhere(comparisons: Sequence[Comparison], found: Sequence[Slice]) -> Iterator[str]:
    """Metrics whose every slice points the other way than the whole: what is compared differs in its mixture of tags."""
    for each in comparisons:
        inside = [part for part in found if part.metric == each.metric and part.difference]
        if each.difference and len(inside) > 1 and all(part.difference * each.difference < 0 for part in inside):
            yield each.metric
