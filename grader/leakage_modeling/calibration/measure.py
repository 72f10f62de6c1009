"""`python -m grader.leakage_modeling.calibration.measure`: does the task measure skill? Policies on many seeds, in this process.

    python -m grader.leakage_modeling.calibration.measure                       200 seeds at each difficulty
    python -m grader.leakage_modeling.calibration.measure --seeds 20 --difficulty 1 --json
    python -m grader.leakage_modeling.calibration.measure --keep rows.jsonl     verdicts are kept seed by seed; run again, it goes on

For each difficulty: how often each policy passes and why it fails; how far predictions move when forbidden columns are
overwritten; what fitting on both tables gains; and how much of the verdict of ten policies of graded skill the policy
decides, and how much the seed. The same for the rule of the public original, for comparison. All frames of a policy are
predicted at once, to be twice as fast, so dependence on the batch is not measured here: the tests ask frame by frame.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from grader.leakage_modeling.judging.evaluate import evaluate
from grader.leakage_modeling.judging.oracle import Oracle, PlainFitter
from task_kit.leakage_modeling.agents.policies import BOTH_TABLES, GRADED, LEAKS, POLICIES
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import make_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.leakage_modeling.judging.verdict import Verdict

ORACLE = "oracle"
LEAKING = frozenset(policy.name for policy in LEAKS)
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One verdict."""

    seed: int
    policy: str
    passed: bool
    reason: str | None
    auroc: float
    regret: float
    miscalibration: float
    movement: float
    legacy_passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of the variance of a verdict: what the policy decides, what the seed, and what neither decides alone."""

    policy: float
    seed: float
    both: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much regret falls, seed by seed, when something is added: mean and 95 % interval."""

    mean: float
    low: float
    high: float


class Kept:
    """The verdicts of one difficulty by seed, and a file that they outlive a run in, if there is to be one."""

    def __init__(self, path: Path | None, *, difficulty: int) -> None:
        self.rows: dict[int, list[Row]] = {}
        self._path = path
        self._difficulty = difficulty
        for line in path.read_text().splitlines() if path is not None and path.exists() else ():
            of, rows = json.loads(line)
            if of == difficulty:
                self.rows[rows[0]["seed"]] = [Row(**row) for row in rows]

    def add(self, rows: list[Row]) -> None:
        self.rows[rows[0].seed] = rows
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps([self._difficulty, [asdict(row) for row in rows]]) + "\n")


def rows_of(seed: int, settings: Settings) -> list[Row]:
    """The verdicts of the oracle and of every policy in one world."""
    world = make_world(seed, settings)
    oracle = Oracle(world)
    judge = partial(evaluate, world, settings=settings, question_seed=seed, leaky_view=True)
    found = [_row(seed, ORACLE, judge(oracle.submission, oracle))]
    for policy in dict.fromkeys((*POLICIES, *GRADED)):
        if policy.suits(world):
            fitter = PlainFitter(world, joined=True)
            verdict = judge(fitter.run(policy), fitter)
            found.append(_row(seed, policy.name, verdict, threshold=settings.threshold))
    return found


def _row(seed: int, policy: str, verdict: Verdict, *, threshold: float = Settings().threshold) -> Row:
    scores: dict[str, Any] = verdict.scores
    return Row(
        seed=seed,
        policy=policy,
        passed=verdict.status == "pass",
        reason=verdict.reason,
        auroc=scores["auroc"],
        regret=scores["regret"],
        miscalibration=scores["miscalibration"],
        movement=max(scores["movement"].values(), default=0.0),
        legacy_passed=scores["legacy"]["auroc"] >= threshold,
    )


def variance_shares(verdicts: np.ndarray) -> Shares:
    """Of policies × seeds; two-way analysis of variance with one verdict a cell."""
    verdicts = verdicts.astype(float)
    total = float(((verdicts - verdicts.mean()) ** 2).sum())
    if total == 0:
        return Shares(policy=0.0, seed=0.0, both=0.0)
    policies, seeds = verdicts.shape
    by_policy = seeds * float(((verdicts.mean(axis=1) - verdicts.mean()) ** 2).sum()) / total
    by_seed = policies * float(((verdicts.mean(axis=0) - verdicts.mean()) ** 2).sum()) / total
    return Shares(policy=by_policy, seed=by_seed, both=1 - by_policy - by_seed)


def gain(rows: Sequence[Row], *, of: str, over: str) -> Gain:
    regrets = {(row.policy, row.seed): row.regret for row in rows}
    seeds = sorted({row.seed for row in rows})
    fallen = [regrets[over, seed] - regrets[of, seed] for seed in seeds]
    half = 1.96 * stdev(fallen) / len(fallen) ** 0.5
    return Gain(mean=fmean(fallen), low=fmean(fallen) - half, high=fmean(fallen) + half)


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """All that is claimed of one difficulty."""
    names = list(dict.fromkeys(row.policy for row in rows))
    honest = [row.movement for row in rows if row.policy not in LEAKING]
    leaking = [row.movement for row in rows if row.policy in LEAKING]
    return {
        "policies": {name: _of_policy([row for row in rows if row.policy == name]) for name in names},
        "variance": asdict(variance_shares(_table(rows, legacy=False))),
        "worst_seed_share": worst_seed_share(rows),
        "legacy_variance": asdict(variance_shares(_table(rows, legacy=True))),
        "gain": {
            policy.name: {"over": policy.beside.name} | asdict(gain(rows, of=policy.name, over=policy.beside.name))
            for policy in BOTH_TABLES
            if policy.beside is not None
        },
        "movement": {"honest_at_most": max(honest), "leaking_at_least": min(leaking, default=None)},
    }


def worst_seed_share(rows: Sequence[Row]) -> float:
    """The largest share of the seed, had any regret between the best and the worst been the limit."""
    regrets = {(row.policy, row.seed): row.regret for row in rows}
    seeds = sorted({row.seed for row in rows})
    table = np.array([[regrets[policy.name, seed] for seed in seeds] for policy in GRADED])
    return max(variance_shares(table <= limit).seed for limit in np.quantile(table, np.linspace(0.02, 0.98, 97)))


def _of_policy(rows: Sequence[Row]) -> dict[str, Any]:
    regrets = [row.regret for row in rows]
    return {
        "passed": sum(row.passed for row in rows),
        "seeds": len(rows),
        "auroc": fmean(row.auroc for row in rows),
        "regret": fmean(regrets),
        "regret_sd": stdev(regrets),
        "miscalibration": fmean(row.miscalibration for row in rows),
        "movement": [min(row.movement for row in rows), max(row.movement for row in rows)],
        "reasons": dict(Counter(row.reason for row in rows if row.reason).most_common()),
        "legacy_passed": sum(row.legacy_passed for row in rows),
    }


def _table(rows: Sequence[Row], *, legacy: bool) -> np.ndarray:
    """Verdicts of the graded policies, weakest skill first, by seed."""
    verdicts = {(row.policy, row.seed): row.legacy_passed if legacy else row.passed for row in rows}
    seeds = sorted({row.seed for row in rows})
    return np.array([[verdicts[policy.name, seed] for seed in seeds] for policy in GRADED])


def main(words: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(words)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")  # read by the processes that are about to start
    found = {}
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        for difficulty in args.difficulty:
            kept = Kept(args.keep, difficulty=difficulty)
            missing = [seed for seed in range(args.seeds) if seed not in kept.rows]
            for rows in pool.map(partial(rows_of, settings=Settings(difficulty=difficulty)), missing):
                kept.add(rows)
            found[difficulty] = summary([row for seed in range(args.seeds) for row in kept.rows[seed]])
            if not args.json:
                print(as_text(difficulty, found[difficulty]), flush=True)
    if args.json:
        print(json.dumps(found, indent=2))
    return 0


def as_text(difficulty: int, found: dict[str, Any]) -> str:
    lines = [f"difficulty {difficulty}: regret at most {Settings(difficulty=difficulty).regret_limit:g}"]
    lines.append(f"{'policy':24}{'passed':>10}{'AUROC':>8}{'regret':>8}{'sd':>7}{'miscal':>8}{'moved':>20}  reasons")
    for name, of in found["policies"].items():
        low, high = of["movement"]
        reasons = ", ".join(f"{reason} {count}" for reason, count in of["reasons"].items())
        lines.append(
            f"{name:24}{of['passed']:>5} /{of['seeds']:>4}{of['auroc']:8.3f}{of['regret']:8.3f}{of['regret_sd']:7.3f}"
            f"{of['miscalibration']:8.3f}{low:10.2g} –{high:8.2g}  {reasons}"
        )
    for label, shares in (("verdict", found["variance"]), ("legacy verdict", found["legacy_variance"])):
        lines.append(
            f"{label} of the ten graded policies: {shares['policy']:.1%} by policy, {shares['seed']:.1%} by seed"
        )
    lines.append(f"with any other limit on regret: at most {found['worst_seed_share']:.1%} by seed")
    for name, by in found["gain"].items():
        lines.append(
            f"{name} gains {by['mean']:+.4f} of regret over {by['over']} ({by['low']:+.4f} to {by['high']:+.4f})"
        )
    moved = found["movement"]
    lines.append(
        f"honest movement at most {moved['honest_at_most']:.2g}, leaking at least {moved['leaking_at_least']:.2g}"
    )
    return "\n".join([*lines, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grader.leakage_modeling.calibration.measure", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seeds", type=_at_least_two, default=200, metavar="N")
    parser.add_argument("--difficulty", type=int, nargs="+", choices=range(4), default=range(4), metavar="D")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    return parser


def _at_least_two(text: str) -> int:
    if (number := int(text)) < 2:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 2 seeds: one says nothing of luck")
    return number


if __name__ == "__main__":
    sys.exit(main())
