"""What a run by several processes has spent, what it may spend, and what is said of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.errors import BudgetReached
from profiler.engine.progress import round_figures
from profiler.engine.run_money import least_cap, money_facts
from profiler.money.budget import usd
from profiler.money.prices import dollars, pico
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.engine.options import Options
    from profiler.fleet.preparing.prepare import Prepared
    from profiler.manifest.settings import Experiment
    from profiler.storage.money import Money
    from profiler.storage.shared_runs.ranges import Merged


def own_cap(experiment: Experiment, options: Options, *, several: bool) -> int | None:
    """The cap of an experiment by itself, in pico-dollars: that of the manifest. Of an experiment that is alone, --max-cost is
    its cap too, and the smaller of both decides."""
    cap = experiment.max_cost_usd if several else least_cap(experiment, options)
    return None if cap is None else pico(cap)


class Spending:
    """The money of one run. `left` is what a cap over several experiments leaves to this one, in pico-dollars; None
    without such a cap."""

    def __init__(self, prepared: Prepared, *, options: Options, left: int | None) -> None:
        self._prepared = prepared
        self._options = options
        self._left = left
        self._live = prepared.source.mode == "live"
        self.before = self.so_far()  # by all commands before this one

    def so_far(self) -> Money:
        """What all commands have spent, or may have."""
        return self._prepared.folders.money()

    def cap(self) -> int | None:
        """The cap of this experiment by itself, in pico-dollars."""
        if not self._live:
            return None
        return own_cap(self._prepared.experiment, self._options, several=self._left is not None)

    def whole_cap(self) -> int | None:
        """That cap, or what a cap over several experiments leaves to this one with all that it has spent so far, if
        that is less."""
        rooms = [self.cap(), None if self._left is None else self._left + self.before.gone]
        return min((room for room in rooms if room is not None), default=None)

    def reached(self, *, processes: int, next_call: int) -> BudgetReached:
        """The error that ends a run at its cap. It names a cap with which the run would probably end; `next_call` is the worst
        case of the call that was refused."""
        prepared, gone, own = self._prepared, self.so_far().gone, self.cap()
        cap = self.whole_cap() or 0
        which = (
            f"the cap of {usd(cap)}" if cap == own else f"the {usd(cap)} that the cap of all experiments leaves to it"
        )
        error = BudgetReached(
            f"{which} could be passed: {usd(gone)} spent or maybe billed, and what is left is not enough for "
            f"the next calls of {processes} processes"
        )
        done = max(1, UnfinishedFleet(prepared.folders.root.parent, prepared.table).kept)
        projected = dollars(gone) / done * prepared.table.count
        error.enough_usd = round_figures(
            max(projected * 1.2, dollars(gone + max(next_call, 1)) * 1.1, dollars(cap) * 1.5)
        )
        return error

    def facts(self, merged: Merged, *, tell: Callable[[str], None]) -> dict[str, Any]:
        """What the summary of the complete run says of its money."""
        money, cap, card = merged.money, self.cap(), self._prepared.card
        known = money_facts(card, cap=cap, spent=money.spent, maybe=money.maybe)
        if merged.by_shard:
            known["spent_by_shard_usd"] = [dollars(amount) for amount in merged.by_shard]
        if money.spent and (twice := merged.twice.spent) > 0:
            known["paid_twice_usd"] = dollars(twice)
            tell(f"{usd(twice)} was paid for answers that were there already, by processes that were taken for lost")
        return known
