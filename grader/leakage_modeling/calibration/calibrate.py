"""How hard is the task for this model, is that in the band worth training on, and which threshold would put it there?

It takes graded episodes, and control policies graded on the same seeds. It runs no episode and writes no file:
`grader.cli.calibrate_action` does.

An episode that ended without a submission, with an invalid one or out of time is a fail and counts. Only an episode
that the grader or the provider broke (`error`) is excluded, and their number stands beside the rate.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

from grader.leakage_modeling.calibration.band import (
    BAND,
    Position,
    error_of_look,
    fewest_that_certify,
    more_needed,
    position,
)
from grader.leakage_modeling.calibration.intervals import (
    Interval,
    Tally,
    clopper_pearson,
    design_effect,
    effective,
    pass_all_k,
    pass_at_k,
    posterior_within,
    seed_share,
    wilson,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

NEAR = 0.1  # a near miss failed the score by at most this share of the threshold
ORACLE_PASSES = 0.99  # below this share of passes of the oracle itself, a threshold asks for the impossible
POWERS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One graded episode, as far as calibration needs it."""

    seed: str
    status: Literal["pass", "fail", "error"]
    reason: str | None
    score: float | None  # None when no score was reached
    clean: bool  # all checks but the score held, so that a threshold alone decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    passed: int
    episodes: int
    rate: float | None
    wilson: Interval
    clopper_pearson: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    asked: int
    started: int
    graded: int
    excluded: int
    seeds: int
    seed_share: float | None  # of the variance of verdicts; None with one episode a seed
    design_effect: float
    look: int  # how often the verdict has been looked at, this time included
    error: float  # how often the verdict of this look may be wrong
    rate: Rate
    in_band: float  # posterior probability that the rate is in BAND
    verdict: Position
    more_needed: int | None  # None: the rate looks like an edge of the band
    fewest_that_certify: int
    pass_at: dict[int, float | None]
    pass_all: dict[int, float | None]
    reasons: dict[str, int]
    near_misses: int
    controls: dict[str, Rate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold that was found on one half of the seeds and tried on the other."""

    value: float
    quantile: float
    found_on: Rate
    verified_on: Rate
    verdict: Position
    oracle: Rate


class Unreachable(Exception):
    """No threshold can be recommended; the message says why."""


def calibrate(
    episodes: Sequence[Graded],
    *,
    asked: int,
    started: int,
    threshold: float,
    lower_is_better: bool,
    controls: Mapping[str, Sequence[Graded]],
    look: int = 1,
) -> Calibration:
    graded = [episode for episode in episodes if episode.status != "error"]
    clusters = by_seed(graded)
    tally, error = effective(clusters), error_of_look(look)
    more = more_needed(tally, error=error, next_error=error_of_look(look + 1))
    return Calibration(
        asked=asked,
        started=started,
        graded=len(graded),
        excluded=len(episodes) - len(graded),
        seeds=len(clusters),
        seed_share=seed_share(clusters),
        design_effect=design_effect(clusters),
        look=look,
        error=error,
        rate=rate_of(graded),
        in_band=posterior_within(tally, BAND),
        verdict=position(tally, error=error),
        more_needed=_scaled(more, by=design_effect(clusters)),
        fewest_that_certify=fewest_that_certify(error=error),
        pass_at={k: _mean_over(clusters, k=k, of=pass_at_k) for k in POWERS},
        pass_all={k: _mean_over(clusters, k=k, of=pass_all_k) for k in POWERS},
        reasons=dict(
            Counter(episode.reason or "unknown" for episode in graded if episode.status == "fail").most_common()
        ),
        near_misses=sum(_is_near(episode, threshold=threshold, lower_is_better=lower_is_better) for episode in graded),
        controls={name: rate_of(rows) for name, rows in controls.items()},
    )


def by_seed(graded: Iterable[Graded]) -> list[Tally]:
    tallies: dict[str, Tally] = {}
    for episode in graded:
        passed, episodes = tallies.get(episode.seed, (0, 0))
        tallies[episode.seed] = Tally(passed + (episode.status == "pass"), episodes + 1)
    return list(tallies.values())


def rate_of(rows: Sequence[Graded]) -> Rate:
    """The pass rate. Its intervals are those of as many independent episodes as shared seeds leave."""
    graded = [row for row in rows if row.status != "error"]
    passed = sum(row.status == "pass" for row in graded)
    tally = effective(by_seed(graded))
    return Rate(
        passed=passed,
        episodes=len(graded),
        rate=passed / len(graded) if graded else None,
        wilson=wilson(tally),
        clopper_pearson=clopper_pearson(tally),
    )


def find_threshold(
    episodes: Sequence[Graded],
    *,
    oracle: Sequence[Graded],
    no_op: Sequence[Graded],
    quantile: float,
    lower_is_better: bool,
) -> Threshold:
    """The threshold that the best `1 - quantile` of the episodes reach, found and tried on different seeds.

    Refused where it would reward luck (the oracle does not always reach it, or the world alone decides who does) or
    nothing (the no-op reaches it).
    """
    graded = [episode for episode in episodes if episode.status != "error"]
    seeds = sorted({episode.seed for episode in graded})
    if len(seeds) < 2:
        raise Unreachable(
            f"a threshold is found on one half of the seeds and tried on the other: {len(seeds)} is too few"
        )
    first = frozenset(seeds[::2])
    finding = [episode for episode in graded if episode.seed in first]
    trying = [episode for episode in graded if episode.seed not in first]
    value = _quantile(finding, share=1 - quantile, lower_is_better=lower_is_better)
    reached_by_oracle = rate_of(at_threshold(oracle, value, lower_is_better=lower_is_better))
    if (reached_by_oracle.rate or 0.0) < ORACLE_PASSES:
        raise Unreachable(
            f"the oracle itself reaches {value:.4f} on {reached_by_oracle.passed} of {reached_by_oracle.episodes} seeds "
            f"(expected at least {ORACLE_PASSES:.0%}): such a threshold rewards luck; take a lower quantile than {quantile}"
        )
    idle = rate_of(at_threshold(no_op, value, lower_is_better=lower_is_better))
    if idle.passed:
        raise Unreachable(
            f"the no-op, which says the prevalence of every row, reaches {value:.4f} on {idle.passed} of {idle.episodes} "
            f"seeds: such a threshold asks for no skill; take a higher quantile than {quantile}, or another agent"
        )
    _refuse_luck(at_threshold(graded, value, lower_is_better=lower_is_better), value)
    verified = at_threshold(trying, value, lower_is_better=lower_is_better)
    return Threshold(
        value=value,
        quantile=quantile,
        found_on=rate_of(at_threshold(finding, value, lower_is_better=lower_is_better)),
        verified_on=rate_of(verified),
        verdict=position(effective(by_seed(verified))),
        oracle=reached_by_oracle,
    )


def _refuse_luck(rows: Sequence[Graded], value: float) -> None:
    """Raise for an agent that does the same in every repeat: a threshold would split it by its worlds, not by skill."""
    tallies = by_seed(rows)
    if max((tally.episodes for tally in tallies), default=0) < 2:
        raise Unreachable(
            "with one episode a world nobody can tell whether skill or the world decides who reaches a threshold: "
            "take --per-seed 2 or more"
        )
    repeated = [tally for tally in tallies if tally.episodes > 1]
    some_pass = 0 < sum(tally.passed for tally in tallies) < sum(tally.episodes for tally in tallies)
    if some_pass and all(tally.passed in (0, tally.episodes) for tally in repeated):
        raise Unreachable(
            f"in none of {len(repeated)} worlds do repeats fall on both sides of {value:.4f}: this agent does the same each "
            "time, so the threshold would split it by the luck of its world and not by skill"
        )


def at_threshold(rows: Sequence[Graded], value: float, *, lower_is_better: bool) -> list[Graded]:
    """The same episodes as if this had been the threshold. What failed for another reason still fails."""
    return [
        Graded(
            seed=row.seed,
            status="pass" if row.clean and _reaches(row.score, value, lower_is_better=lower_is_better) else "fail",
            reason=row.reason,
            score=row.score,
            clean=row.clean,
        )
        for row in rows
        if row.status != "error"
    ]


def _quantile(rows: Sequence[Graded], *, share: float, lower_is_better: bool) -> float:
    scores = sorted(row.score for row in rows if row.clean and row.score is not None)
    if not lower_is_better:
        scores.reverse()
    wanted = ceil(share * len(rows))  # a share of all episodes: those without a score are the worst
    if not 1 <= wanted <= len(scores):
        raise Unreachable(
            f"{len(scores)} of {len(rows)} episodes reached a score with everything else in order, "
            f"so no threshold lets {wanted} of them pass"
        )
    return scores[wanted - 1]


def _reaches(score: float | None, value: float, *, lower_is_better: bool) -> bool:
    if score is None:
        return False
    return score <= value if lower_is_better else score >= value


def _is_near(episode: Graded, *, threshold: float, lower_is_better: bool) -> bool:
    if episode.status != "fail" or not episode.clean:
        return False
    eased = threshold * (1 + NEAR) if lower_is_better else threshold * (1 - NEAR)
    return _reaches(episode.score, eased, lower_is_better=lower_is_better)


def _mean_over(clusters: Sequence[Tally], *, k: int, of: Callable[..., float | None]) -> float | None:
    """The mean over seeds with enough episodes. With one episode a seed, all of them count as one group."""
    if max((cluster.episodes for cluster in clusters), default=0) <= 1:
        clusters = [Tally(sum(cluster.passed for cluster in clusters), len(clusters))]
    values = [of(passed=int(cluster.passed), episodes=int(cluster.episodes), k=k) for cluster in clusters]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _scaled(more: int | None, *, by: float) -> int | None:
    return None if more is None else ceil(more * by)
