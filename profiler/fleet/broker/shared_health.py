"""How the provider fares, judged once for all workers from what each of them tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.engine.limits.first_refusals import HOPELESS_AFTER
from profiler.engine.limits.health import ProviderHealth, all_refused, refusal
from profiler.fleet.broker.messages import Stop

if TYPE_CHECKING:
    from profiler.core.errors import CallError, ProviderFailed


class SharedHealth:
    def __init__(self, *, answered_before: bool) -> None:
        self._health = ProviderHealth()
        self._refused: dict[str, int] = {}  # before the first answer, by kind
        self._latest: CallError | None = None
        self._undecided: set[str] = set()
        self._stop: ProviderFailed | None = None
        if answered_before:
            self._health.answered()

    @property
    def answered_any(self) -> bool:
        return self._health.answered_any

    @property
    def outage(self) -> str | None:
        return self._health.outage

    @property
    def stop(self) -> Stop | None:
        """The reason to stop all workers; None while calls may still succeed."""
        failed = self._stop
        if failed is None and self._hopeless and self._latest is not None:
            failed = all_refused(self._latest)
        return None if failed is None else Stop(message=str(failed), hint=failed.hint)

    @property
    def _hopeless(self) -> bool:
        """Whether the first calls were refused alike, and none that left before them may still be answered."""
        enough = max(self._refused.values(), default=0) >= HOPELESS_AFTER
        return enough and not self.answered_any and not self._undecided

    def answered(self) -> None:
        self._health.answered()

    def failed(self, error: CallError) -> None:
        self._health.failed(error)
        if refusal(error) and not self.answered_any:
            self._latest = error
            self._refused[error.kind] = self._refused.get(error.kind, 0) + 1

    def gave_up(self, error: CallError) -> None:
        self._stop = self._stop or self._health.gave_up(error)

    def heard(self, who: str, *, undecided: bool) -> None:
        """Whether calls of a worker are in flight that left before its latest refusal."""
        (self._undecided.add if undecided else self._undecided.discard)(who)

    def leave(self, who: str) -> None:
        self._undecided.discard(who)
