"""Small experiments in which something is missing altogether: dialogues, answers or facts.

Every grading has all three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.worlds import dialogues, names

if TYPE_CHECKING:
    from random import Random

    from grader.experiment_profiler.worlds.dialogues import Drawn

NAMES: Final = ("empty", "unanswered", "no-facts")


def draw(rng: Random, edge: str) -> list[Drawn]:
    match edge:
        case "empty":
            return []
        case "unanswered":
            return dialogues.small(rng, names.ids(rng, count=rng.randint(2, 9)), "unanswered")
        case _:
            kinds = ["plain", "plain", *rng.choices(("plain", "declined", "plain"), k=rng.randint(1, 9)), "declined"]
            ids = names.ids(rng, count=len(kinds))
            drawn = [dialogues.ALWAYS[kind](rng, name) for kind, name in zip(kinds, ids, strict=True)]
            rng.shuffle(drawn)
            return drawn
