"""Whom the experiments of one run ask: those that ask the same model at the same address share its slots and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from profiler.engine.limits.provider_limits import ProviderLimits, smaller_limits
from profiler.engine.limits.rate_gate import RateGate
from profiler.engine.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from profiler.engine.calls.allowance import Allowance
    from profiler.manifest.settings import Experiment, RateLimits


class Provider(NamedTuple):
    """One model at one address: how many calls may run at once, and what lets them leave."""

    slots: Slots
    limits: ProviderLimits | None


class Providers:
    """All that one run asks. `slots` are those of the whole run."""

    def __init__(
        self, experiments: Sequence[Experiment], *, slots: Slots, live: bool, alone: bool, allowance: Allowance | None
    ) -> None:
        self.rate_limits = _tightest_of_each(experiments)
        self._slots = slots
        self._live = live
        self._alone = alone
        self._allowance = allowance
        self._longest_pause_s = max(each.retry.deadline_s for each in experiments)
        self._known: dict[Hashable, Provider] = {}

    def group_of(self, experiment: Experiment) -> Hashable:
        """Experiments of one group share limits."""
        return provider_of(experiment) if self._live else None

    def of(self, experiment: Experiment) -> Provider:
        """The slots and limits that all experiments of one group share."""
        group = self.group_of(experiment)
        if group not in self._known:
            self._known[group] = self._new(group)
        return self._known[group]

    def _new(self, group: Hashable) -> Provider:
        if not self._live:
            return Provider(self._slots, None)
        among_others = len(self.rate_limits) > 1
        slots = self._slots if self._alone else Slots(self._slots.limit, within=self._slots, lends=among_others)
        if self._allowance is not None:
            return Provider(slots, self._allowance.limits_of(slots, longest_pause_s=self._longest_pause_s))
        gate = RateGate(self.rate_limits[group])
        return Provider(slots, ProviderLimits(gate, slots=slots, longest_pause_s=self._longest_pause_s))


def provider_of(experiment: Experiment) -> Hashable:
    """Equal for experiments that ask the same model at the same address (the key is the environment's)."""
    return experiment.client, experiment.provider, experiment.base_url, experiment.model


def _tightest_of_each(experiments: Sequence[Experiment]) -> dict[Hashable, RateLimits | None]:
    """Where experiments that share a provider differ, the smallest limit holds for all."""
    found: dict[Hashable, RateLimits | None] = {}
    for experiment in experiments:
        source, limits = provider_of(experiment), experiment.rate_limits
        found[source] = smaller_limits(found.get(source), limits)
    return found
