"""What one shard may spend: its part of the cap of its experiment, and its part of a cap over several experiments. Where one of
them stops it, the caps under which all shards would probably end are worked out here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.core.errors import BudgetReached
from profiler.engine.progress import round_figures
from profiler.engine.run_money import held_by_manifest
from profiler.fleet.spending import own_cap
from profiler.money.budget import usd
from profiler.money.prices import dollars

if TYPE_CHECKING:
    from profiler.engine.options import Options
    from profiler.fleet.shards.which_shard import Shard
    from profiler.manifest.settings import Experiment


class ShardCaps:
    """All amounts are pico-dollars. `merged` is what the run had spent when it was put together so far, and `gone` what this
    shard has spent since. `left` is what a cap over several experiments leaves to the shard; None without such a cap."""

    def __init__(
        self, experiment: Experiment, shard: Shard, options: Options, *, merged: int, gone: int, left: int | None
    ) -> None:
        own = own_cap(experiment, options, several=left is not None)
        self._experiment = experiment
        self._shard = shard
        self._merged = merged
        self._gone = gone
        self._said = options.max_cost_usd
        self._in_manifest = held_by_manifest(experiment, options, several=left is not None)
        self._own = None if own is None else max(0, own - merged) // shard.of
        self._whole = None if left is None else left + gone

    @property
    def cap(self) -> int | None:
        """The part that decides, with what the shard has spent of it already."""
        return min((each for each in (self._own, self._whole) if each is not None), default=None)

    @property
    def for_a_process(self) -> int | None:
        """The equal share of each process of the shard in what is left."""
        return None if self.cap is None else max(0, self.cap - self._gone) // self._shard.processes

    def reached(self, *, gone: int, next_call: int, answered: int, of: int) -> BudgetReached:
        """The error for a shard that has spent so much (`gone`), answered so many of its items, and may not make its next call.
        It names a cap that is probably enough: each process of each shard must have room for what it has still to ask."""
        cap, of_all = self.cap or 0, self._whole is not None and self._whole == self.cap
        error = BudgetReached(
            f"shard {self._shard} could pass its share of the cap{' over all experiments' if of_all else ''}, "
            f"{usd(cap)}: {usd(gone)} spent or maybe billed"
        )
        missing = gone / answered * (of - answered) if answered else 0
        needed = int(max(missing * 1.2, next_call * self._shard.processes * 1.1, cap * 0.5, 1))
        if of_all:
            error.enough_usd = round_figures((self._said or 0.0) + dollars(self._shard.of * needed))
        else:
            error.enough_usd = round_figures(dollars(self._merged + self._shard.of * (max(cap, gone) + needed)))
        error.of_all = of_all or not self._in_manifest
        error.point_at_manifest(self._experiment.experiment_id)
        return error


def out_of_money() -> BudgetReached:
    """The error for a shard when the broker has lent the whole cap; no single shard can raise that."""
    return BudgetReached(
        "the cap of all shards together could be passed: the broker has nothing left to lend",
        hint="stop the broker and start it again with a larger --max-cost; then go on with each shard",
    )
