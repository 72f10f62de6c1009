"""How many of its required facts an answer holds: the metric fact_coverage, and geometric_mean, which combines it with
refusals."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from profiler.metrics import intervals
from profiler.metrics.clusters import ClusterSums, of_dialogue, off_the_mean
from profiler.metrics.metric import NO_DATA, Estimate, Sums, finish_mean, finish_rate

if TYPE_CHECKING:
    from profiler.core.nouns import Outcome


def _found_in_any(facts: tuple[str, ...], texts: tuple[str, ...]) -> int:
    folded = [text.casefold() for text in texts]
    return len([fact for fact in facts if any(fact.casefold() in text for text in folded)])


@lru_cache(maxsize=512)
def _share(found: int, required: int) -> Sums:
    """The contribution of an outcome with required facts. Only few differ, so equal ones are one object."""
    units = (found << intervals.FIXED_BITS) // required
    return 1, units, units * units, 1


def _sums(facts: tuple[str, ...], text: str) -> Sums:
    """The contribution of a reply. Facts that are in the text as they are need no case folding, which is slow."""
    missing = [fact for fact in facts if fact not in text]
    if missing:
        folded = text.casefold()
        missing = [fact for fact in missing if fact.casefold() not in folded]
    return _share(len(facts) - len(missing), len(facts))


# A state of coverage: n, Σc and Σc² of the coverages c, and how many outcomes require facts. When none does, nothing
# was measured, so the coverage is unknown and not complete.
_NOTHING_REQUIRED: Final = (*_share(1, 1)[:3], 0)
_NOT_LOOKED_FOR: Final = (0, 0, 0, 1)


def coverage_sums(outcome: Outcome) -> Sums | None:
    """A failed dialogue, or a reply that the log does not hold, only says whether facts were required."""
    facts = outcome.required_facts
    if outcome.type == "error":
        return _NOT_LOOKED_FOR if facts else None
    if not facts:
        return _NOTHING_REQUIRED
    if outcome.replies:
        return _share(_found_in_any(facts, outcome.replies), len(facts))
    if outcome.completion is None:
        return _NOT_LOOKED_FOR
    return _sums(facts, outcome.completion)


def coverage(outcome: Outcome) -> float | None:
    """The share of its required facts that one reply holds. 1 where none are required, as in the mean."""
    return coverage_of(coverage_sums(outcome))


def coverage_of(sums: Sums | None) -> float | None:
    return None if sums is None or sums[0] == 0 else sums[1] / (1 << intervals.FIXED_BITS)


def finish_coverage(state: Sums | None) -> Estimate:
    if state is None or not _measured(state):
        return NO_DATA
    return finish_mean(state[:3] + state[4:], lower=0.0, upper=1.0)


def _measured(coverage: Sums) -> bool:
    n, _, _, requiring = coverage[:4]
    return n > 0 and requiring > 0


JOINT: Final = ("n", "units", "squares", "requiring", "answered", "refused", "known_refused", "units_refused")


def joint_sums(outcome: Outcome) -> Sums | None:
    """The sums that the product of two correlated means needs.

    First the state of the coverage; then how many were answered and how many refused; then, of those whose coverage c
    is known, how many were refused and the sum of their c. These are the names in `JOINT`.
    """
    return joint_of(outcome, coverage_sums(outcome))


def joint_of(outcome: Outcome, covered: Sums | None) -> Sums | None:
    """The same of an outcome whose coverage has been looked at already."""
    if outcome.type == "error":
        return None if covered is None else (*covered, 0, 0, 0, 0)
    refused = 1 if outcome.type == "refusal" else 0
    if covered is None or covered[0] == 0:
        return (covered or (0, 0, 0, 0)) + (1, refused, 0, 0)
    return covered + (1, refused, refused, refused * covered[1])  # noqa: RUF005 (half the time of unpacking)


def cluster_joint(state: Sums) -> Sums:
    """The sums of one dialogue by themselves (those of its coverage, those of its answers that are no refusals), and the
    products of the two that say how they go together."""
    n, units, _, _, answered, refused, _, _ = state
    complied = answered - refused
    crossed = n * answered, n * complied, units * answered, units * complied
    return *state, *of_dialogue(n, units), *of_dialogue(answered, complied), *crossed


def finish_geometric(state: Sums | None) -> Estimate:
    if state is None or not _measured(state):
        return NO_DATA
    answered, refused = state[4:6]
    covered = finish_coverage(state[:4] + state[8:13])
    complied = finish_rate((answered, answered - refused, *state[13:18]))
    assert covered.value is not None and complied.value is not None and covered.ci95 and complied.ci95  # noqa: S101, PT018
    low, high = intervals.product_interval(
        covered.value,
        covered.ci95,
        complied.value,
        complied.ci95,
        correlation=_correlation(state) if len(state) == len(JOINT) else _correlation_by_dialogue(state),
    )
    value = math.sqrt(covered.value * complied.value)
    return Estimate(value, covered.n, (math.sqrt(low), math.sqrt(high)))


def _correlation_by_dialogue(state: Sums) -> float:
    """The same where dialogues were asked several times: of what each dialogue adds to the two means."""
    n, units, _, _, answered, refused, _, _ = state[:8]
    complied = answered - refused
    n_answered, n_complied, units_answered, units_complied = state[18:]
    off = off_the_mean(n, units, ClusterSums(*state[8:13]))
    off *= off_the_mean(answered, complied, ClusterSums(*state[13:18]))
    if off == 0:
        return 0.0
    together = n * answered * units_complied - n * complied * units_answered
    together += units * complied * n_answered - units * answered * n_complied
    return max(-1.0, min(1.0, together / math.isqrt(off)))


def _correlation(state: Sums) -> float:
    """The correlation of the two means. They share only the outcomes whose coverage is known, hence the last factor."""
    n, units, squares, _, answered, _, refused, units_refused = state
    spread = (n * squares - units * units) * (n * refused - refused * refused)
    if spread == 0:
        return 0.0
    together = units * refused - n * units_refused
    return max(-1.0, min(1.0, together / math.isqrt(spread))) * math.sqrt(n / answered)
