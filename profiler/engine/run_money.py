"""The money of a run: the prices it reckons with, the cap of the whole, and a budget for each experiment that begins where
its earlier sessions ended."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from profiler.core.errors import StorageError, UsageError
from profiler.money.budget import Budget, Cap, usd
from profiler.money.price_list import card_of, where_to_say_prices
from profiler.money.prices import dollars, pico

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from profiler.core.nouns import Mode
    from profiler.engine.options import Options
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment
    from profiler.money.prices import RateCard
    from profiler.storage.whole_money import WholeMoney
    from profiler.storage.writing.open_run import OpenRun


MONEY = ("rate_card", "max_cost_usd", "spent_usd", "maybe_billed_usd")  # what the summary tells of it
OF_SEVERAL = (
    "paid_twice_usd",
    "spent_by_shard_usd",
)  # the same of a run by several processes, where there is such a thing
UNBOUNDED = ("speed", "fallbacks")  # keys of `request` that change the price, or the model that answers
BOUNDED = (None, "standard")  # values with which they do not


class RunMoney:
    """`cap` holds for all experiments together. One that is alone has none: the smaller of its own and that of the
    options decides."""

    def __init__(self, options: Options, *, cap: Cap | None = None, kept: WholeMoney | None = None) -> None:
        self.cap = cap
        self._options = options
        self._kept = kept

    def held_by_manifest(self, experiment: Experiment) -> bool:
        return held_by_manifest(experiment, self._options, several=False)

    @contextmanager
    def of(self, experiment: Experiment, run: OpenRun, *, card: RateCard | None) -> Iterator[Budget | None]:
        """The budget of a session: what those before have spent, or may have, counts against the caps."""
        if card is None:
            yield None
            return
        own = experiment.max_cost_usd if self.cap is not None else least_cap(experiment, self._options)
        budget = Budget(card, cap_usd=own, spent=run.money.spent, maybe=run.money.maybe, within=self.cap)
        try:
            yield budget
        finally:
            if self._kept is not None:
                with suppress(StorageError):  # the folder tells it too
                    self._kept.note(experiment.experiment_id, budget.spent + budget.maybe)

    def took(self, experiment: Experiment, *, spent: int, in_all: int) -> None:
        """Count what other processes have spent on an experiment: in this session, and `in_all` over all its sessions."""
        if self.cap is not None:
            self.cap.gone += spent
        if self._kept is not None:
            self._kept.note(experiment.experiment_id, in_all)


@contextmanager
def money_of_all(
    experiments: Sequence[Experiment], manifest: Manifest | None, *, options: Options
) -> Iterator[RunMoney]:
    """What earlier commands have spent for this manifest counts against the cap of the whole."""
    if options.resolved_mode != "live":
        yield RunMoney(options)
        return
    from profiler.storage.whole_money import whole_money  # noqa: PLC0415 (the mock costs nothing)

    now = [each.experiment_id for each in experiments]
    every = now if manifest is None else list(manifest.ids)
    path = manifest.path if manifest is not None and len(every) > 1 else None
    with whole_money(options.folder, manifest=path, capped=options.max_cost_usd is not None) as kept:
        if options.fresh:
            kept.begin_anew(now)
        kept.begin(now)
        cap = None
        if options.max_cost_usd is not None and len(every) > 1:
            cap = Cap(options.max_cost_usd, gone=kept.gone(every, but=now if options.fresh else ()))
        yield RunMoney(options, cap=cap, kept=kept)


def least_cap(experiment: Experiment, options: Options) -> float | None:
    """The cap that decides, if there is one: the experiment's own, or that of the whole."""
    return min((cap for cap in (experiment.max_cost_usd, options.max_cost_usd) if cap is not None), default=None)


def held_by_manifest(experiment: Experiment, options: Options, *, several: bool) -> bool:
    """Whether the experiment's own cap in the manifest is the one that decides, or the only one that is its own where the
    other holds for `several`. --max-cost cannot raise it."""
    own, said = experiment.max_cost_usd, options.max_cost_usd
    return own is not None and (several or said is None or own <= said)


def card_of_run(experiment: Experiment, *, mode: Mode, cap_usd: float | None) -> RateCard | None:
    """The prices of a live run. The mock costs nothing, and a made-up price would look like a real one."""
    if mode != "live":
        return None
    if cap_usd is not None and (keys := [key for key in UNBOUNDED if experiment.request.get(key) not in BOUNDED]):
        raise UsageError(
            f"{experiment.experiment_id}: found a cap of {usd(pico(cap_usd))} and request.{keys[0]}, with which nobody knows "
            "beforehand what a call can cost, so it could not be held",
            hint="leave either of them out",
        )
    card = card_of(experiment, at=datetime.now(UTC))
    if card is None and cap_usd is not None:
        raise UsageError(
            f"{experiment.experiment_id}: found a cap of {usd(pico(cap_usd))}, but nobody knows what "
            f"{experiment.model!r} costs, so it could not be held",
            hint=where_to_say_prices(experiment),
        )
    return card


def facts_of_budget(budget: Budget | None) -> dict[str, Any]:
    """The money in the `run` part of the summary."""
    if budget is None:
        return money_facts(None, cap=None, spent=0, maybe=0)
    return money_facts(budget.card, cap=budget.cap, spent=budget.spent, maybe=budget.maybe)


def money_facts(card: RateCard | None, *, cap: int | None, spent: int, maybe: int) -> dict[str, Any]:
    """The same of amounts in pico-dollars; nothing is known without a price."""
    if card is None:
        return dict.fromkeys(MONEY)
    most = None if cap is None else dollars(cap)
    return dict(zip(MONEY, (card.as_json(), most, dollars(spent), dollars(maybe)), strict=True))
