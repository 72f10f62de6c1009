"""When it is hopeless to go on: how calls were refused, one after the other, and the reason to stop that this makes.

Comes in: answers, and the failures that dialogues ended with. Goes out: `ProviderFailed`, or nothing. Decides about no
single dialogue.
"""

from __future__ import annotations

from profiler.errors import CallError, ProviderFailed

HOPELESS_AFTER = 5
PUSH_BACKS = frozenset({"rate_limited", "overloaded"})
LATER = "run the same command with --retry-failed"


class Refusals:
    """Counts what was refused while nothing was answered."""

    def __init__(self) -> None:
        self._answered_any = False
        self._kinds: dict[str, int] = {}
        self._in_a_row = 0

    def answered(self) -> None:
        self._answered_any = True
        self._in_a_row = 0

    def given_up(self, error: CallError) -> ProviderFailed | None:
        """A dialogue ended with this failure. The reason to stop, when the others will fare no better."""
        if error.kind in PUSH_BACKS:
            return self._pushed_back(error)
        return None if error.retryable or self._answered_any else self._refused(error)

    def _pushed_back(self, error: CallError) -> ProviderFailed | None:
        """Pushed back until its deadline. When that happens to one after the other, nobody gets through."""
        self._in_a_row += 1
        if self._in_a_row < HOPELESS_AFTER:
            return None
        return ProviderFailed(
            f"the provider takes nothing: {self._in_a_row} dialogues in a row were put off beyond their "
            f"deadline: {error.message}",
            hint=f"try again later, or give dialogues longer with retry: {{deadline_s: …}}; then {LATER}",
        )

    def _refused(self, error: CallError) -> ProviderFailed | None:
        """The same refusal for all of the first calls is not about the dialogues: stop before the rest is spent."""
        self._kinds[error.kind] = self._kinds.get(error.kind, 0) + 1
        if self._kinds[error.kind] < HOPELESS_AFTER:
            return None
        return ProviderFailed(
            f"the first {HOPELESS_AFTER} calls were all refused: {error.message}",
            hint=f"mend the cause, then {LATER}",
        )
