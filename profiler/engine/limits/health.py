"""How the provider fares: decides whether everybody should wait, and when it is hopeless to go on.

It never decides about a single dialogue.
"""

from __future__ import annotations

from profiler.core.errors import CallError, ProviderFailed
from profiler.engine.limits.first_refusals import HOPELESS_AFTER, FirstRefusals

UNLUCKY_AFTER = 20  # dialogues in a row that failed with what might have passed; some may be at fault themselves
OUTAGE_AFTER = 5  # calls in a row: fewer may be stale connections, or one broken server of many
RATE_LIMITED, OVERLOADED = "rate_limited", "overloaded"
PUSHBACKS = frozenset({RATE_LIMITED, OVERLOADED})
UNAVAILABLE = frozenset({502, 503})  # a gateway says so when there is no server behind it
LATER = "run the same command with --retry-failed"


def unheard(error: CallError) -> bool:
    """Whether the request was never looked at, so that the failure says nothing about its dialogue."""
    return error.kind in PUSHBACKS or not error.sent or error.status in UNAVAILABLE


def refusal(error: CallError) -> bool:
    """Whether the provider read the request and will not answer it, however often it is sent."""
    return not (error.retryable or unheard(error))


class ProviderHealth:
    """Counts failures for as long as nothing is answered in between."""

    def __init__(self) -> None:
        self.first = FirstRefusals()
        self.answered_any = self._refused_any = False
        self._in_a_row = 0
        self._unheard = 0
        self._unreached = 0
        self._last = ""

    def answered(self) -> None:
        """An answer, of this session or of an earlier one."""
        self._in_a_row = self._unheard = self._unreached = 0
        if not self.answered_any:
            self.answered_any = True
            self.first.answered()

    def failed(self, error: CallError) -> None:
        """A call failed, whatever becomes of its dialogue."""
        if unheard(error) and error.kind not in PUSHBACKS:
            self._unreached += 1
            self._last = error.message
        elif refusal(error):
            self._unreached = 0  # a refusal proves that the provider is up

    @property
    def outage(self) -> str | None:
        """The latest failure while a provider that used to answer cannot be reached; everybody waits until it is back.

        A provider that has never answered is more likely a wrong address, for which nobody wants to wait.
        """
        return self._last if self.answered_any and self._unreached >= OUTAGE_AFTER else None

    def gave_up(self, error: CallError) -> ProviderFailed | None:
        """A dialogue ended with this failure. Returns the reason to stop the run if the others would fare no better."""
        if refusal(error):
            self._in_a_row = self._unheard = 0  # a refusal proves that the provider is up
            self._refused_any = True
            return all_refused(error) if self.first.hopeless else None
        self._in_a_row += 1
        self._unheard += unheard(error)
        over = self._unheard >= HOPELESS_AFTER or self._in_a_row >= UNLUCKY_AFTER
        return self._no_reply(error) if over else None

    def all_ended(self, error: CallError) -> ProviderFailed | None:
        """Every dialogue has ended, one with this failure. Returns the reason to call the run failed.

        It has failed when there was not a single answer.
        """
        return None if self.answered_any or self._refused_any else self._no_reply(error)

    def _no_reply(self, error: CallError) -> ProviderFailed:
        """Failures that might have passed did not, until tries or time ran out, and nobody else got through."""
        dialogues = f"{self._in_a_row} dialogues in a row" if self._in_a_row != 1 else "the only dialogue asked"
        if error.kind in PUSHBACKS:
            return ProviderFailed(
                f"the provider takes nothing: {dialogues} found no way in before the deadline: {error.message}",
                hint="try again later, or give dialogues longer with retry: {deadline_s: …}",
            )
        cause = "check that it is up and can be reached" if self.answered_any else "check base_url, and that it is up"
        return ProviderFailed(
            f"the provider does not answer: {dialogues} got no reply: {error.message}",
            hint=cause if unheard(error) else f"{cause}; then {LATER}",
        )


def all_refused(error: CallError) -> ProviderFailed:
    return ProviderFailed(
        f"the first {HOPELESS_AFTER} calls were all refused: {error.message}", hint=f"fix the cause, then {LATER}"
    )
