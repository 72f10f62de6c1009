"""Guesses how much of the limit on output tokens a call takes before its answer is there.

Some providers count the whole `max_tokens` of a call until it ends, others only what the answer used. Taking the first
kind for the second leads to refusals; the other way round, calls wait for nothing. Which kind it is shows in what the
headers say is left, and in refusals that came although there was room.
"""

from __future__ import annotations

LEARNING = 0.05
WORTH_KNOWING = 0.2  # of what was drawn: when answers are nearly as long as they may be, both kinds come to the same


class OutputGuess:
    """The mean length of the answers so far, and whether the provider counts `max_tokens` while a call lasts."""

    def __init__(self) -> None:
        self.holds_max_tokens = False
        self._mean: float | None = None

    def drawn(self, max_tokens: int) -> float:
        """What a call will probably take from the limit.

        That is as much as answers used so far; all that it may use while none is known, or when the provider counts
        that.
        """
        mean = self._mean
        return max_tokens if self.holds_max_tokens or mean is None or mean > max_tokens else mean

    def answered(self, output_tokens: int) -> None:
        known = output_tokens if self._mean is None else self._mean
        self._mean = known + LEARNING * (output_tokens - known)

    def told(self, *, surplus: float, drawn: float, max_tokens: int, calls: int) -> None:
        """Learn from a reply that says how many tokens are left.

        `surplus` is how many more that is than we reckoned; the calls in flight then had `drawn` tokens. A provider
        that counts answers has all the tokens left that these calls will not use; one that counts `max_tokens` has not.
        Others who use the same key can only make the surplus smaller, so a large one is a proof. A small one may
        mislead, until a later reply puts it right.
        """
        too_much = drawn - self._expected(max_tokens, calls=calls)
        if calls >= 2 and too_much > drawn * WORTH_KNOWING:
            self.holds_max_tokens = surplus < too_much / 2

    def _expected(self, max_tokens: int, *, calls: int) -> float:
        """The output tokens that so many calls will use, of the `max_tokens` that they may use together."""
        return max_tokens if self._mean is None or self._mean * calls > max_tokens else self._mean * calls
