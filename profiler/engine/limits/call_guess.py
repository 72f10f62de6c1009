"""Guesses what a call takes from the limits before its answer is there.

Input tokens follow from the length of the request. Of output tokens some providers count the whole `max_tokens` of a
call until it ends, others only what the answer used. Taking the first kind for the second leads to refusals; the other
way round, calls wait for nothing. Which kind it is shows in what the headers say is left, and in refusals that came
although there was room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.engine.limits.draw import Draw

if TYPE_CHECKING:
    from profiler.core.nouns import Request

BYTES_PER_TOKEN = 4.0  # until replies tell
LEARNING = 0.05
WORTH_KNOWING = 0.2  # of what was drawn: when answers are nearly as long as they may be, both kinds come to the same


class CallGuess:
    """How many bytes make a token, the mean length of the answers so far, and whether the provider counts `max_tokens`
    while a call lasts."""

    def __init__(self) -> None:
        self.holds_max_tokens = False
        self._bytes_per_token = BYTES_PER_TOKEN
        self._mean: float | None = None

    def drawn_by(self, request: Request) -> Draw:
        """What a call will probably take from the limits.

        Its output tokens are as many as answers used so far; all that it may use while none is known, or when the
        provider counts that.
        """
        mean, most = self._mean, request.params.max_tokens
        output_tokens = most if self.holds_max_tokens or mean is None or mean > most else mean
        return Draw(len(request.body) / self._bytes_per_token, output_tokens, max_tokens=most)

    def answered(self, *, sent: int, input_tokens: int | None, output_tokens: int | None) -> None:
        """Learn from a reply to a request of `sent` bytes; None stands for what it does not report."""
        if input_tokens:
            self._bytes_per_token += LEARNING * (sent / input_tokens - self._bytes_per_token)
        if output_tokens is not None:
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
