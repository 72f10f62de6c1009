"""Draws what the columns of a world are called, what they mean, and when each is known.

It first draws which signals are known in time, independently of what they are, and then finds words that say so. So the
same column may be used in one world and not in the next, and only the dictionary tells which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from task_kit.leakage_modeling.worlds import families, held_out
from task_kit.leakage_modeling.worlds.columns import (
    AMOUNTS,
    GENERATED_FROM,
    GROUPED_FROM,
    TARGET,
    Columns,
    classic_columns,
)
from task_kit.leakage_modeling.worlds.law import NUMERIC, Cycle
from task_kit.leakage_modeling.worlds.signals import KINDS, draw_signal
from task_kit.leakage_modeling.worlds.timeline import draw_moment, draw_timeline

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.family import Family, Named
    from task_kit.leakage_modeling.worlds.settings import Settings
    from task_kit.leakage_modeling.worlds.signals import Kind, Signal
    from task_kit.leakage_modeling.worlds.timeline import Moment, Timeline

T = TypeVar("T")

KNOWN_SIGNALS, LATE_SIGNALS = 3, 4  # three of seven: guessing finds them once in 35 worlds
SUFFIXES = ("", "", "", "_2", "_a", "_x", "_raw", "_v1")
LASTS: frozenset[Kind] = frozenset({"index", "amount", "count", "share"})  # kinds that can be counted over some time


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an agent is told about a world besides its columns."""

    outcome: str
    family: Family | None = None
    timeline: Timeline | None = None
    absolute: bool = True  # days of events are counted from the first event, or each from the one before
    variant: int = 0  # chooses the words for a change of units


def draw_columns(draw: Generator, settings: Settings, *, cyclic: bool) -> tuple[Columns, Told]:
    """The columns, and the story around them. With `cyclic` one of them is cyclic."""
    if settings.difficulty < GENERATED_FROM:
        return classic_columns(settings), Told(outcome="a binary outcome")
    choice = families_of(settings.family)
    family = choice[int(draw.integers(len(choice)))]
    timeline = draw_timeline(draw, family.events, plain=settings.difficulty == GENERATED_FROM)
    columns = _Naming(draw, family, timeline, settings).columns(cyclic=cyclic)
    absolute = settings.difficulty == GENERATED_FROM or bool(draw.random() < 0.5)
    return columns, Told(
        outcome=family.outcome, family=family, timeline=timeline, absolute=absolute, variant=int(draw.integers(3))
    )


def families_of(name: str) -> tuple[Family, ...]:
    """The families that a setting names: `seen`, `held-out`, or a single one."""
    sets = {"seen": families.SEEN, "held-out": held_out.HELD_OUT}
    every = {family.name: (family,) for family in (*families.SEEN, *held_out.HELD_OUT)}
    return sets.get(name) or every[name]


class _Naming:
    """Draws the names, times and words of one world."""

    def __init__(self, draw: Generator, family: Family, timeline: Timeline, settings: Settings) -> None:
        self._draw, self._family, self._timeline, self._settings = draw, family, timeline, settings
        self._taken = {TARGET}
        self._what: dict[str, str] = {}  # the meaning of each signal, without its time
        self.meaning: dict[str, str] = {}

    def columns(self, *, cyclic: bool) -> Columns:
        family, settings = self._family, self._settings
        cycle = self._one(family.cycles) if cyclic else None
        grouped = settings.difficulty >= GROUPED_FROM
        numeric = self._numeric(cycle)
        low, high = self._ordinary(self._one(family.low)), self._ordinary(self._one(family.high))
        group = self._plain(family.group) if grouped else None
        signals = self._signals(group)
        if grouped:
            self._refer(signals)
        return Columns(
            numeric=numeric,
            low=low,
            high=high,
            group=group,
            month=self._plain(family.month) if grouped else None,
            signals=tuple(signals),
            classic_signal=None,
            global_mean=self._rate("all {cases}", "level overall") if settings.leak_global_target_mean else None,
            category_rate=self._rate(f"{{cases}} with the same `{low}`", f"{low}_level {low}_mean")
            if settings.leak_cat0_rate_full
            else None,
            cycle=None if cycle is None else Cycle(cycle[2]),
            meaning=self.meaning,
        )

    def _numeric(self, cycle: tuple[str, str, int] | None) -> tuple[str, ...]:
        family = self._family
        amounts = self._some(family.amounts, len(AMOUNTS))
        indices = self._some(family.indices, NUMERIC - len(AMOUNTS))
        if cycle is not None:
            indices[-1] = cycle[:2]
        return tuple(self._ordinary(named) for named in (*amounts, *indices))

    def _signals(self, group: str | None) -> list[Signal]:
        """Signals of random kinds. Which of them are known in time does not depend on what they are."""
        late = LATE_SIGNALS if self._settings.leak_future_signal else 0
        pool: list[tuple[Kind, Named]] = [(kind, named) for kind in KINDS for named in self._family.signals[kind]]
        if group is not None:
            pool.append(
                ("share", (f"{group}_share {group}_past", f"share of {{cases}} with the same `{group}` that {{ended}}"))
            )
        places = self._draw.choice(len(pool), size=KNOWN_SIGNALS + late, replace=False)
        known = self._draw.permutation([True] * KNOWN_SIGNALS + [False] * late)
        return [self._signal(*pool[place], known=bool(is_known)) for place, is_known in zip(places, known, strict=True)]

    def _signal(self, kind: Kind, named: Named, *, known: bool) -> Signal:
        name = self._name(named[0])
        what = self._what[name] = self._words(named[1])
        if "{ended}" in named[1]:
            self.meaning[name] = self._aggregate(what, known=known)
        else:
            self.meaning[name] = self._said(what, self._moment(known=known, lasts=kind in LASTS))
        return draw_signal(self._draw, name=name, kind=kind, known=known)

    def _refer(self, signals: list[Signal]) -> None:
        """Of two signals that are both known or both late, one only says that it is as old as the other."""
        for known in (True, False):
            alike = [signal.name for signal in signals if signal.known == known]
            if len(alike) < 2:
                continue
            one, other = (alike[place] for place in self._draw.choice(len(alike), size=2, replace=False))
            forms = (
                f"entered together with `{other}`",
                f"written on the same form as `{other}`, at the same time",
                f"of the same day as `{other}`",
            )
            self.meaning[one] = f"{self._what[one]}; {self._one(forms)}"

    def _rate(self, of: str, stems: str) -> str:
        """A rate of outcomes that is always known too late."""
        name = self._name(stems)
        self.meaning[name] = self._aggregate(self._words(f"share of {of} that {{ended}}"), known=False)
        return name

    def _aggregate(self, what: str, *, known: bool) -> str:
        """Words for a rate: counted over cases that had ended by then, or over all cases, including its own."""
        cases = self._family.cases
        if not known and self._draw.random() < 0.5:
            forms = (
                f"counted over all {cases} of these records, this one included",
                f"taken over every {self._family.case} in the table, its own outcome among them",
                f"worked out from the whole table without leaving out the {self._family.case} itself",
            )
            return f"{what}; {self._one(forms)}"
        moment = self._moment(known=known, lasts=False)
        forms = (
            f"counted {moment.words}, over {cases} closed until then, this one left out",
            f"taken {moment.words} from the {cases} that had ended, never from this one",
            f"reported {moment.words} for {cases} that were over by then, not including this one",
        )
        return f"{what}; {self._one(forms)}"

    def _ordinary(self, named: Named) -> str:
        """A column that is known in time, and says so."""
        name = self._name(named[0])
        self.meaning[name] = self._said(self._words(named[1]), self._moment(known=True, lasts=False))
        return name

    def _plain(self, named: Named) -> str:
        name = self._name(named[0])
        self.meaning[name] = named[1]
        return name

    def _moment(self, *, known: bool, lasts: bool) -> Moment:
        return draw_moment(self._draw, self._timeline, known=known, window=lasts)

    def _said(self, what: str, moment: Moment) -> str:
        words = moment.words
        points = (
            f"{what}; noted {words}",
            f"{what}, as it stood {words}",
            f"{what}; filled in {words}",
            f"{what} (known {words})",
            f"{what}; on record {words} and not before",
            f"{what}; we learn it {words}",
            f"{what}; joined from the archive, whose copy of the {self._family.case} was made {words}",
            f"{words[0].upper()}{words[1:]}: {what}",
        )
        stretches = (
            f"{what}, {words}",
            f"{what}, counted {words}",
            f"{what}; the figure covers what happens {words}",
            f"{words[0].upper()}{words[1:]}: {what}",
        )
        forms = stretches if moment.stretch else points
        return self._one(forms)

    def _name(self, stems: str) -> str:
        """A name that is not taken yet."""
        while True:
            stem = self._one(tuple(stems.split()))
            name = f"{stem}{self._one(SUFFIXES)}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def _words(self, text: str) -> str:
        return text.format(cases=self._family.cases, ended=self._family.ended)

    def _one(self, choice: tuple[T, ...]) -> T:
        return choice[int(self._draw.integers(len(choice)))]

    def _some(self, choice: tuple[T, ...], n: int) -> list[T]:
        return [choice[place] for place in self._draw.choice(len(choice), size=n, replace=False)]
