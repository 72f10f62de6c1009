"""The money of one session: its prices, and a budget that counts what earlier sessions have spent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from profiler.core.errors import UsageError
from profiler.money.budget import Budget, usd
from profiler.money.price_list import card_of
from profiler.money.prices import dollars, pico

if TYPE_CHECKING:
    from profiler.core.nouns import Mode
    from profiler.manifest.settings import Experiment
    from profiler.money.prices import RateCard
    from profiler.storage.resume import OpenRun


def card_of_run(experiment: Experiment, *, mode: Mode, cap_usd: float | None) -> RateCard | None:
    """The prices of a live run. In mock mode there are none: a made-up price would look like a real one."""
    if mode != "live":
        return None
    card = card_of(experiment, at=datetime.now(UTC))
    if card is None and cap_usd is not None:
        raise UsageError(
            f"{experiment.experiment_id}: found a cap of {usd(pico(cap_usd))}, but nobody knows what "
            f"{experiment.model!r} costs, so it could not be held",
            hint="say it in the manifest: prices: {input_per_million: …, output_per_million: …}",
        )
    return card


def budget_of(card: RateCard | None, run: OpenRun, *, cap_usd: float | None) -> Budget | None:
    """The budget, which counts against the cap what earlier sessions spent or may have spent."""
    if card is None:
        return None
    return Budget(card, cap_usd=cap_usd, spent=run.spent, maybe=run.maybe)


def money_facts(budget: Budget | None) -> dict[str, Any]:
    """The money in the `run` part of the summary; null where no price is known."""
    if budget is None:
        return {"rate_card": None, "max_cost_usd": None, "spent_usd": None, "maybe_billed_usd": None}
    return {
        "rate_card": budget.card.as_json(),
        "max_cost_usd": None if budget.cap is None else dollars(budget.cap),
        "spent_usd": dollars(budget.spent),
        "maybe_billed_usd": dollars(budget.maybe),
    }
