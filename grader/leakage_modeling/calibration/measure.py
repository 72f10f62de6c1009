"""Does the task measure reading and skill? Plays policies in many worlds and prints a certificate.

    python -m grader.leakage_modeling.calibration.measure --keep rows.jsonl
    python -m grader.leakage_modeling.calibration.measure --worlds 20 --difficulty 1 --json

In every world the oracle, the careful policy and the blind ones are judged, in this process; in the first 40 also the
no-op, the cheats and the hurried policy, the latter five times with other luck each time. One blind policy is learnt
first, from 200 other worlds. A certificate says, for one difficulty and split: how many pass, the interval of that, why
the others fail, and how much of the hurried policy's verdicts the world decides. With `--keep` verdicts outlive an
interruption, and the CPU time of all runs is added up.

All frames of a policy are predicted at once, which is faster, so dependence on the batch is not measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pandas as pd
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from grader.leakage_modeling.calibration.intervals import Tally, clopper_pearson
from grader.leakage_modeling.judging.evaluate import evaluate, questions_of
from grader.leakage_modeling.judging.oracle import Oracle, PlainFitter
from task_kit.leakage_modeling.agents.blind import BLIND_POLICIES, FEATURES, learnt
from task_kit.leakage_modeling.agents.craft import BLIND_TABLES, TAIL
from task_kit.leakage_modeling.agents.policies import BASELINES, HURRIED, LEAKS, NO_OP
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import make_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from grader.leakage_modeling.judging.verdict import Verdict
    from task_kit.leakage_modeling.worlds.world import World

Split = Literal["seen", "held-out"]
SPLITS: tuple[Split, ...] = ("seen", "held-out")
ORACLE = "oracle"
WORLDS, LEARNT_FROM, REPEATS = 200, 200, 5
FEW = 40  # worlds in which the cheats, the no-op and the hurried policy play: their rates are far from any limit
FIRST: dict[Split, int] = {"seen": 20_000, "held-out": 30_000}  # seeds that nothing was tuned on
OTHER_WORLDS = 1_000_000  # first seed of the worlds from which the learnt policy learns
BLIND = (*(policy.name for policy in BLIND_POLICIES), "learnt_from_other_worlds")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict."""

    policy: str
    repeat: int
    passed: bool
    reason: str | None
    regret: float
    miscalibration: float


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts of one world, and what they cost."""

    difficulty: int
    split: Split
    seed: int
    cpu_s: float
    rows: tuple[Row, ...]


def judge(seed: int, *, difficulty: int, split: Split, weights: Mapping[str, float]) -> Judged:
    """Every policy in one world."""
    began = time.process_time()
    settings = Settings(difficulty=difficulty, family=split)
    pd.set_option("mode.string_storage", "python")  # as in a run: Arrow's strings are slower in small frames
    world = make_world(FIRST[split] + seed, settings)
    verdict = partial(evaluate, world, settings=settings, question_seed=seed, asked=questions_of(world, seed))
    oracle = Oracle(world)
    rows = [_row(ORACLE, 0, verdict(oracle.submission, oracle))]
    for name, repeat, code in _codes(world, FIRST[split] + seed, weights=weights, all_of_them=seed < FEW):
        fitter = PlainFitter(world, joined=True)
        rows.append(_row(name, repeat, verdict(fitter.run_code(code.replace(TAIL, ""), name=name), fitter)))
    cpu_s = time.process_time() - began
    return Judged(difficulty=difficulty, split=split, seed=seed, cpu_s=round(cpu_s, 3), rows=tuple(rows))


def _codes(
    world: World, seed: int, *, weights: Mapping[str, float], all_of_them: bool
) -> Iterator[tuple[str, int, str]]:
    for policy in (*BASELINES, *((NO_OP, *LEAKS) if all_of_them else ())):
        if policy.suits(world):
            yield policy.name, 0, policy.code(world)
    for repeat in range(REPEATS if all_of_them else 0):
        yield HURRIED.name, repeat, HURRIED.code(world, luck=f"{seed}/{repeat}")
    for blind in (*BLIND_POLICIES, learnt(weights)):
        yield blind.name, 0, blind.code(luck=seed)


def _row(policy: str, repeat: int, verdict: Verdict) -> Row:
    scores = verdict.scores
    return Row(
        policy=policy,
        repeat=repeat,
        passed=verdict.status == "pass",
        reason=verdict.reason,
        regret=round(scores["regret"], 4),
        miscalibration=round(scores["miscalibration"], 4),
    )


def learn(difficulty: int, *, worlds: int) -> dict[str, float]:
    """Learn what makes a column late, from names and rows of other worlds: weights for the learnt policy."""
    marks, late = [], []
    for seed in range(OTHER_WORLDS, OTHER_WORLDS + worlds):
        world = make_world(seed, Settings(difficulty=difficulty, hidden_rows=1000))
        variables = PlainFitter(world).variables
        exec(compile(BLIND_TABLES + FEATURES, "learnt", "exec"), variables)  # noqa: S102 (code of our own)
        for name in variables["strong"]:
            marks.append(variables["marks"](name))
            late.append(name in world.leak_columns)
    return _weights(marks, late)


def _weights(marks: Sequence[Mapping[str, float]], late: Sequence[bool]) -> dict[str, float]:
    vectorizer = DictVectorizer()
    model = LogisticRegression(C=0.1, max_iter=2000).fit(vectorizer.fit_transform(marks), late)
    names = vectorizer.get_feature_names_out()
    return {str(name): round(float(weight), 4) for name, weight in zip(names, model.coef_[0], strict=True)}


def seed_share(verdicts: np.ndarray) -> float:
    """The share of the variance of verdicts that the world decides: intraclass correlation of worlds × repeats."""
    repeats = verdicts.shape[1]
    verdicts = verdicts.astype(float)
    between = repeats * float(verdicts.mean(axis=1).var(ddof=1))
    within = float(verdicts.var(axis=1, ddof=1).mean())
    total = between + (repeats - 1) * within
    return max(0.0, (between - within) / total) if total else 0.0


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Everything that is claimed for one difficulty and split."""
    rows = [row for world in judged for row in world.rows]
    repeats = [[row.passed for row in world.rows if row.policy == HURRIED.name] for world in judged]
    hurried = [verdicts for verdicts in repeats if verdicts]
    return {
        "worlds": len(judged),
        "cpu_s": sum(world.cpu_s for world in judged),
        "policies": {name: _of_policy(rows, name) for name in dict.fromkeys(row.policy for row in rows)},
        "seed_share_of_hurried": seed_share(np.array(hurried)),
    }


def _of_policy(rows: Iterable[Row], name: str) -> dict[str, Any]:
    own = [row for row in rows if row.policy == name]
    passed, regrets = sum(row.passed for row in own), [row.regret for row in own]
    return {
        "passed": passed,
        "episodes": len(own),
        "interval": list(clopper_pearson(Tally(passed, len(own)))),
        "regret": fmean(regrets),
        "regret_sd": stdev(regrets),
        "reasons": dict(Counter(row.reason.partition(":")[0] for row in own if row.reason).most_common()),
    }


def as_text(difficulty: int, split: str, found: Mapping[str, Any]) -> str:
    """The certificate of one difficulty and split."""
    limit = Settings(difficulty=difficulty).regret_limit
    head = f"difficulty {difficulty}, families {split}: {found['worlds']} worlds, regret at most {limit:g}"
    lines = [
        f"{head}, {found['cpu_s'] / 3600:.2f} CPU hours",
        f"{'policy':26}{'passed':>11}{'rate':>8}  {'exact 95 %':16}{'regret':>7}{'sd':>7}  reasons",
    ]
    for name, of in found["policies"].items():
        low, high = of["interval"]
        reasons = ", ".join(f"{reason} {count}" for reason, count in of["reasons"].items())
        lines.append(
            f"{name:26}{of['passed']:>5} /{of['episodes']:>4}{of['passed'] / of['episodes']:8.1%}  "
            f"{low:.3f} .. {high:.3f}  {of['regret']:7.3f}{of['regret_sd']:7.3f}  {reasons}"
        )
    lines.append(f"of the verdicts of {HURRIED.name} the world decides {found['seed_share_of_hurried']:.1%}")
    return "\n".join([*lines, ""])


class Kept:
    """Verdicts by difficulty, split and seed, and the file that keeps them, if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_bytes().splitlines() if path is not None and path.exists() else []
        found = [msgspec.json.decode(line, type=Judged) for line in lines]
        self.worlds = {(one.difficulty, one.split, one.seed): one for one in found}

    def weights(self, difficulty: int, *, worlds: int) -> dict[str, float]:
        """The weights of the learnt policy; where they can be kept they are learnt only once."""
        path = (
            None
            if self._path is None
            else self._path.with_name(f"{self._path.name}.weights-{difficulty}-{worlds}.json")
        )
        if path is not None and path.exists():
            return msgspec.json.decode(path.read_bytes(), type=dict[str, float])
        found = learn(difficulty, worlds=worlds)
        if path is not None:
            path.write_bytes(msgspec.json.encode(found))
        return found

    def add(self, judged: Judged) -> None:
        self.worlds[judged.difficulty, judged.split, judged.seed] = judged
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(judged) + b"\n")


def main(words: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(words)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    kept = Kept(args.keep)
    plan = [(d, split, seed) for seed in range(args.worlds) for d in args.difficulty for split in args.split]
    missing = [key for key in plan if key not in kept.worlds]
    weights = {d: kept.weights(d, worlds=args.learn_from) for d in dict.fromkeys(key[0] for key in missing)}
    for difficulty, split, seed in missing:
        kept.add(judge(seed, difficulty=difficulty, split=split, weights=weights[difficulty]))
    found = {
        f"{d}/{split}": summary([kept.worlds[d, split, seed] for seed in range(args.worlds)])
        for d in args.difficulty
        for split in args.split
    }
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        for key, of in found.items():
            print(as_text(int(key[0]), key[2:], of))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grader.leakage_modeling.calibration.measure", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--worlds", type=_at_least_two, default=WORLDS, metavar="N")
    parser.add_argument("--learn-from", type=_at_least_two, default=LEARNT_FROM, metavar="N")
    parser.add_argument("--difficulty", type=int, nargs="+", choices=range(4), default=[1, 2, 3], metavar="D")
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=list(SPLITS), metavar="SPLIT")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    return parser


def _at_least_two(text: str) -> int:
    if (number := int(text)) < 2:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 2 worlds: one says nothing of luck")
    return number


if __name__ == "__main__":
    sys.exit(main())
