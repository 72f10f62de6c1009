"""Which dialogues of two runs are compared, and which cannot be."""

from __future__ import annotations

from operator import and_, ne
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import UsageError
from profiler.results.comparing.measured_run import NAMED

if TYPE_CHECKING:
    from array import array

    from profiler.results.comparing.measured_run import MeasuredRun

SHOWN = 5


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """How many dialogues both runs have, and which only one has (the first thousand by id). `differently_judged`: the
    same question, but other facts or another expected answer."""

    paired: int
    only_in_base: int
    only_in_new: int
    only_in_base_ids: list[str]
    only_in_new_ids: list[str]
    different_questions: int = 0
    differently_judged: int = 0


def paired(base: MeasuredRun, new: MeasuredRun, *, allow_different_prompts: bool) -> Pairing:
    """Raises where the same id was asked something else, unless that is what is compared."""
    here, there = _present(base), _present(new)
    both = sum(map(and_, here, there))
    if not both:
        raise UsageError(
            f"{base.run.folder} and {new.run.folder} have no dialogue in common, so nothing can be paired",
            hint="compare runs over the same dataset",
        )
    missing = [place for place, each in enumerate(here) if each and not there[place]] if both < sum(here) else []
    changed = _differing(base.questions, new.questions, there)
    if changed and not allow_different_prompts:
        raise UsageError(
            f"{len(changed):,} of {both:,} pairs were asked different questions in {base.run.folder} and "
            f"{new.run.folder}: {named([base.ids[place] for place in changed])}",
            hint="if the prompts are what you compare, add --allow-different-prompts",
        )
    judged = _differing(base.judged_by, new.judged_by, there)
    return Pairing(
        paired=both,
        only_in_base=len(missing),
        only_in_new=new.extra_count,
        only_in_base_ids=[base.ids[place] for place in missing[:NAMED]],
        only_in_new_ids=new.extra,
        different_questions=len(changed),
        differently_judged=len(judged),
    )


def _present(run: MeasuredRun) -> bytes:
    return bytes(map(bool, run.answers))


def _differing(base: array[int], new: array[int], there: bytes) -> list[int]:
    """Where the new run has something else."""
    if base == new:
        return []
    return [place for place, differs in enumerate(map(ne, base, new)) if differs and there[place]]


def named(ids: list[str]) -> str:
    """The first of them, and how many more there are."""
    beyond = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return ", ".join(map(repr, ids[:SHOWN])) + beyond
