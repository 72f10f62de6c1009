"""What the experiments of one run share: the places for calls in flight, the limits of each provider, the cap of the whole.

Each of these has one owner, and it is here. Experiments are begun in the order of the manifest, a little before there is
a place for their calls: so the tail of one is filled by the next, and no more folders are open than that needs.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio

from profiler.engine import open_files
from profiler.engine.clients import Clients
from profiler.engine.progress import Overview, round_figures
from profiler.engine.providers import Providers
from profiler.engine.slots import Slots
from profiler.engine.threads import in_thread
from profiler.manifest.value_types import USUAL_CONCURRENCY
from profiler.money.prices import dollars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from profiler.core.errors import BudgetReached
    from profiler.engine.agenda import Turn, Turns
    from profiler.engine.calls.allowance import Allowance
    from profiler.engine.calls.pool import Pool
    from profiler.engine.options import Options
    from profiler.engine.progress import View
    from profiler.engine.run_money import RunMoney
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget
    from profiler.storage.reuse.reusable import Reusable


Words = ParamSpec("Words")
Value = TypeVar("Value")


class UnderWay:
    """An experiment that has begun and not ended."""

    def __init__(self, slots: Slots, *, wants: int) -> None:
        self.slots = slots  # those of its provider
        self.pool: Pool | None = None  # while it asks
        self._expected = wants

    @property
    def wants(self) -> float:
        """How many slots it can use now, or will be able to use once its folder is open. Its provider may have fewer."""
        wanted = self._expected if self.pool is None else self.pool.wants
        return min(wanted, self.slots.limit)

    def has_asked(self) -> None:
        """It has no more calls to make; only its results are still to be written."""
        self.pool = None
        self._expected = 0


class RunResources:
    """One for each run."""

    def __init__(
        self,
        experiments: Sequence[Experiment],
        *,
        options: Options,
        tell: Callable[[str], None],
        money: RunMoney,
        dialogues: Mapping[str, int],
        in_parts: bool = False,
        allowance: Allowance | None = None,
        reusable: Reusable | None = None,
    ) -> None:
        """`in_parts`: each experiment is asked in parts (ranges of its items), of which several may be open at once."""
        self.alone = len(experiments) == 1 and not in_parts
        self.reusable = reusable
        self.money = money
        self._allowance = allowance
        self.overview = Overview(
            experiments=len(experiments), mode=options.resolved_mode, dialogues=dialogues, in_parts=in_parts
        )
        self.stopped: Exception | None = None
        self._dialogues = dialogues
        self._live = options.resolved_mode == "live"
        places = options.concurrency or max(experiment.concurrency for experiment in experiments)
        if self._live:
            places = _room_for_calls(places, tell=tell)
        self.slots = Slots(places)
        self.clients = Clients(experiments, options=options)
        self._most_open = 1
        if not self.alone and not options.in_turn:
            self._most_open = open_files.room_for_runs(
                2 * places if in_parts else min(len(experiments), 2 * places), calls=places if self._live else 0
            )
        self.providers = Providers(
            experiments, slots=self.slots, live=self._live, alone=self.alone, allowance=allowance
        )
        self._concurrency = options.concurrency
        self._under_way: dict[str, UnderWay] = {}
        self._counting = anyio.CapacityLimiter(1)
        self._changed = anyio.Event()

    def slots_of(self, experiment: Experiment) -> Slots:
        """Slots of its own, within those of its provider; an experiment that runs alone takes the provider's."""
        slots = self.providers.of(experiment).slots
        return slots if self.alone else Slots(self._bound_of(experiment), within=slots)

    def _bound_of(self, experiment: Experiment) -> int:
        """The experiment's `concurrency`, but not more than `--concurrency`, which holds for all of them together."""
        places, own = self._concurrency, experiment.concurrency
        return own if places is None else places if own == USUAL_CONCURRENCY else min(places, own)

    async def aside(self, work: Callable[Words, Value], *args: Words.args, **words: Words.kwargs) -> Value:
        """Do work that blocks: in a thread when other experiments are running, else right here."""
        return work(*args, **words) if self.alone else await in_thread(work, *args, **words)

    async def next_of(self, agenda: Turns) -> Turn | None:
        """Wait until there is room for one more experiment, and return it. None when the run stops, or all have begun."""
        with self.slots.offered_to(self.look_again):
            while self.stopped is None and not agenda.empty:
                if (turn := self._next_of(agenda)) is not None:
                    self._under_way[turn.experiment.experiment_id] = self._begun(turn)
                    return turn
                self._changed = anyio.Event()
                await self._changed.wait()
        return None

    def _next_of(self, agenda: Turns) -> Turn | None:
        if len(self._under_way) >= self._most_open:
            return None
        wanted: dict[Slots, float] = {}
        for each in self._under_way.values():
            wanted[each.slots] = wanted.get(each.slots, 0) + each.wants
        if not _has_use_for_more(self.slots, sum(_used(slots, use) for slots, use in wanted.items())):
            return None

        def has_room(experiment: Experiment) -> bool:
            slots = self.providers.of(experiment).slots
            return _has_use_for_more(slots, wanted.get(slots, 0))

        return agenda.take(has_room)

    def _begun(self, turn: Turn) -> UnderWay:
        experiment = turn.experiment
        self.clients.begins(experiment)
        wants = self._bound_of(experiment)
        if turn.answers_of is not None:
            wants = 0
        return UnderWay(
            self.providers.of(experiment).slots, wants=min(wants, self._dialogues.get(experiment.experiment_id, wants))
        )

    def look_again(self) -> None:
        self._changed.set()

    @contextmanager
    def under_way(self, turn: Turn) -> Iterator[None]:
        try:
            yield
        finally:
            del self._under_way[turn.experiment.experiment_id]
            self.look_again()

    @contextmanager
    def asking(self, pool: Pool, view: View, *, folder: Path, budget: Budget | None) -> Iterator[None]:
        """While an experiment makes calls: it appears in the progress view, and a signal stops it with the others."""
        under_way = self._under_way[view.experiment_id]
        under_way.pool = pool
        self.overview.add(view)
        if self.stopped is not None:
            pool.drain(self.stopped)
        try:
            with self._allowed(pool, folder=folder, budget=budget):
                yield
        finally:
            under_way.has_asked()
            self.overview.asked(view)
            self.look_again()

    def _allowed(self, pool: Pool, *, folder: Path, budget: Budget | None) -> AbstractContextManager[None]:
        allowance = self._allowance
        return nullcontext() if allowance is None else allowance.asking(pool, folder=folder, budget=budget)

    async def counted(
        self, count: Callable[..., dict[str, Any]], *words: object, tell: Callable[[str], None], at_once: bool = False
    ) -> dict[str, Any]:
        """Reduce logs in a thread, those of one experiment at a time: a metric of the user's own need not bear threads.

        `at_once`: it takes no longer than to begin a thread.
        """
        if at_once:
            return count(*words, tell=tell)
        told: list[str] = []
        async with self._counting:
            found = await in_thread(count, *words, tell=told.append)
        for line in told:
            tell(line)
        return found

    def drain(self, reason: Exception) -> None:
        """Start nothing new anywhere, and let calls in flight end."""
        self.stopped = self.stopped or reason
        for pool in self._pools():
            pool.drain(reason)
        self.look_again()

    def abandon(self) -> None:
        """End the calls in flight too."""
        for pool in self._pools():
            pool.abandon()

    @property
    def in_flight(self) -> int:
        return sum(pool.status().in_flight for pool in self._pools())

    def advise(self, reached: BudgetReached, experiment: Experiment, view: View) -> None:
        """Add to the error a cap with which the run would probably finish, and where to set it."""
        cap = self.money.cap
        if cap is None or cap.has_room(view.next_call):
            reached.enough_usd = view.enough_usd()
            reached.of_all = cap is None and not self.money.held_by_manifest(experiment)
        else:
            projected = self.overview.look().projected_usd or 0.0
            gone, least = dollars(cap.gone + view.next_call), dollars(cap.cap)
            reached.enough_usd = round_figures(max(projected * 1.1, gone * 1.1, least * 1.5))
        reached.point_at_manifest(experiment.experiment_id)

    def pool_of(self, name: str) -> Pool | None:
        """The pool of an experiment (or of a part of one); None while it makes no calls."""
        under_way = self._under_way.get(name)
        return None if under_way is None else under_way.pool

    def _pools(self) -> list[Pool]:
        return [each.pool for each in self._under_way.values() if each.pool is not None]


def _room_for_calls(places: int, *, tell: Callable[[str], None]) -> int:
    room = open_files.make_room(places)
    if room.warning is not None:
        tell(f"warning: {room.warning}")
    return room.concurrency


def _has_use_for_more(slots: Slots, wanted: float) -> bool:
    """Whether to open another folder: up to half again as many as the slots need, because opening takes as long as a call."""
    return wanted < slots.limit + slots.limit // 2


def _used(slots: Slots, wanted: float) -> float:
    """How many places of the whole a provider has use for: while its limits hold calls up, only those that it has."""
    return slots.taken - slots.lent if slots.lent else wanted
