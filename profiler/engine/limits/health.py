"""How the provider fares: calls that failed one after the other, and what that means for the whole run.

Comes in: answers, calls that failed, and the failures that dialogues ended with. Goes out: whether everybody should
wait, and `ProviderFailed` when it is hopeless to go on. Decides about no single dialogue.
"""

from __future__ import annotations

from profiler.core.errors import CallError, ProviderFailed

HOPELESS_AFTER = 5  # dialogues that nobody heard, or that were all refused in the same way
UNLUCKY_AFTER = 20  # dialogues that ended with any failure that might have passed: some may be at fault themselves
OUTAGE_AFTER = 5  # calls: fewer are connections that grew old, or one server of many
PUSH_BACKS = frozenset({"rate_limited", "overloaded"})
UNAVAILABLE = frozenset({502, 503})  # said by a gateway that has nobody behind it
LATER = "run the same command with --retry-failed"


def unheard(error: CallError) -> bool:
    """Whether nobody looked at what was asked, so that the failure says nothing of its dialogue."""
    return error.kind in PUSH_BACKS or not error.sent or error.status in UNAVAILABLE


class ProviderHealth:
    """Counts what failed while nothing was answered."""

    def __init__(self) -> None:
        self._answered_any = self._refused_any = False
        self._kinds: dict[str, int] = {}
        self._in_a_row = 0
        self._unheard = 0
        self._unreached = 0
        self._last = ""

    def answered(self) -> None:
        self._answered_any = True
        self._in_a_row = self._unheard = self._unreached = 0

    def failed(self, error: CallError) -> None:
        """A call failed, whatever becomes of its dialogue."""
        if unheard(error) and error.kind not in PUSH_BACKS:
            self._unreached += 1
            self._last = error.message
        elif not error.retryable:
            self._unreached = 0  # who refuses is there

    def pauses_everyone(self, error: CallError) -> bool:
        """Whether everybody waits because of this failure, and no dialogue pays for it with a try."""
        return error.kind in PUSH_BACKS or (unheard(error) and self.outage is not None)

    @property
    def outage(self) -> str | None:
        """Why nobody is reached, when that was different before: whoever answered will probably come back.

        A provider that never answered is more likely a wrong address, which nobody wants to wait for.
        """
        return self._last if self._answered_any and self._unreached >= OUTAGE_AFTER else None

    def gave_up(self, error: CallError) -> ProviderFailed | None:
        """A dialogue ended with this failure. The reason to stop, when the others will fare no better."""
        if not (error.retryable or unheard(error)):
            self._in_a_row = self._unheard = 0  # who refuses is there
            self._refused_any = True
            return None if self._answered_any else self._refused(error)
        self._in_a_row += 1
        self._unheard += unheard(error)
        over = self._unheard >= HOPELESS_AFTER or self._in_a_row >= UNLUCKY_AFTER
        return self._hopeless(error) if over else None

    def all_ended(self, error: CallError) -> ProviderFailed | None:
        """Every dialogue has ended, one of them with this failure. The reason to call it a failed run: no answer at all."""
        return None if self._answered_any or self._refused_any else self._hopeless(error)

    def _hopeless(self, error: CallError) -> ProviderFailed:
        """What might have passed did not, until tries or time were over, and nobody else got through."""
        dialogues = f"{self._in_a_row} dialogues in a row" if self._in_a_row != 1 else "the only dialogue asked"
        if error.kind in PUSH_BACKS:
            return ProviderFailed(
                f"the provider takes nothing: {dialogues} found no way in before the deadline: {error.message}",
                hint="try again later, or give dialogues longer with retry: {deadline_s: …}",
            )
        cause = (
            "see that it is up and can be reached" if self._answered_any else "see that base_url is right and it is up"
        )
        return ProviderFailed(
            f"the provider does not answer: {dialogues} got no reply: {error.message}",
            hint=cause if unheard(error) else f"{cause}; then {LATER}",
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
