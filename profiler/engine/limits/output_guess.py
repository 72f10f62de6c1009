"""How much of the limit on output tokens a call takes while nobody knows how long its answer will be.

Some providers hold the whole `max_tokens` of a call against the limit until it ends, others count only what an answer
used. To take the first for the second means refusals, and the other way round means waiting for nothing. Which of the
two it is shows in what the headers say is left, and in refusals for which there was room.
"""

from __future__ import annotations

LEARNING = 0.05
WORTH_KNOWING = 0.2  # of what was drawn: when answers are nearly as long as they may be, both ways are the same


class OutputGuess:
    """The mean length of answers so far, and whether the provider holds `max_tokens`."""

    def __init__(self) -> None:
        self.holds_max_tokens = False
        self._mean: float | None = None

    def drawn(self, max_tokens: int) -> float:
        """What a call will probably take from the limit: as much as answers took so far, and all that it may take while
        none is known, or when that is what the provider holds."""
        return max_tokens if self.holds_max_tokens else self._expected(max_tokens, calls=1)

    def answered(self, output_tokens: int) -> None:
        known = output_tokens if self._mean is None else self._mean
        self._mean = known + LEARNING * (output_tokens - known)

    def told(self, *, surplus: float, drawn: float, max_tokens: int, calls: int) -> None:
        """A reply says what is left: `surplus` more than we reckoned, with `drawn` tokens for the calls in flight.

        A provider that counts answers has more left than that: all that these calls will not use. One that holds
        `max_tokens` has not. Others who use the same key can only make the surplus smaller, so a large one is a proof;
        a small one may mislead, until a later reply puts it right.
        """
        too_much = drawn - self._expected(max_tokens, calls=calls)
        if calls >= 2 and too_much > drawn * WORTH_KNOWING:
            self.holds_max_tokens = surplus < too_much / 2

    def _expected(self, max_tokens: int, *, calls: int) -> float:
        """How long the answers of so many calls will be, which may use that many tokens together."""
        return max_tokens if self._mean is None or self._mean * calls > max_tokens else self._mean * calls
