"""Tells whether refusals have to do with the pace at which calls leave. Where they come by chance, going slower does not help."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

SHORT_EPISODE: Final = 10  # answers between two refusals; an episode with fewer is one in vain
IN_VAIN: Final = 7  # such episodes one after the other: by then a rate is less than a hundredth of what it was
COMPARED: Final = 10  # episodes that are looked at together: have they grown longer as the rate fell?
SLOWER, LONGER = 4.0, 2.0  # a pace this many times slower should leave this many times more answers between refusals
MOSTLY_ANSWERED: Final = 3  # answers an episode: with fewer the rate is still far above the limit, and must fall
DISTRUST_S: Final = 30.0  # at first; twice as long each time that slowing down was in vain
REFUSALS, REFUSED_SHARE = 6, 0.3  # of the calls that left since a rate was forgotten: then pace did matter after all


class PaceTrust:
    """A rate that was learned is forgotten when refusals go on however slow it gets, or come after just as many answers at a
    quarter of the pace; then nothing is learned for a while. The second sign is a weak one where others share the limit: if
    three of ten calls are refused as soon as nothing holds them back, it was wrong, and the rate is learned again at once.
    """

    def __init__(self) -> None:
        self.refusals = 0  # since the rate was forgotten
        self._in_vain = 0
        self._episodes: deque[tuple[float, int]] = deque(
            maxlen=COMPARED
        )  # the rate that was refused, answers before it
        self._distrust_s = DISTRUST_S
        self._trusted_from = -math.inf
        self._forgot_surely = False

    def suspended(self, now: float) -> bool:
        """Whether nothing is learned for now."""
        return now < self._trusted_from

    def was_mistaken(self, *, left: int, now: float) -> bool:
        """A refusal came while nothing is learned. Whether all of those since, of so many calls that have `left`, say that the
        pace did matter."""
        self.refusals += 1
        if self._forgot_surely or self.refusals < REFUSALS or self.refusals < REFUSED_SHARE * left:
            return False
        self._trusted_from = now
        return True

    def lost_by(self, *, rate: float, answers: int, now: float) -> bool:
        """A rate was refused after so many answers. Whether that is one time too many: the pace does not seem to matter."""
        self._in_vain = self._in_vain + 1 if answers < SHORT_EPISODE else 0
        self._episodes.append((rate, answers))
        surely = self._in_vain >= IN_VAIN
        if not surely and not self._as_often_when_slower():
            return False
        self._in_vain = self.refusals = 0
        self._forgot_surely = surely
        self._episodes.clear()
        self._trusted_from = now + self._distrust_s
        self._distrust_s *= 2
        return True

    def _as_often_when_slower(self) -> bool:
        """Whether refusals come as often at a much slower pace, as they do when they are random."""
        if len(self._episodes) < COMPARED or self._episodes[0][0] < SLOWER * self._episodes[-1][0]:
            return False
        answers = [count for _, count in self._episodes]
        earlier, later = sum(answers[: COMPARED // 2]), sum(answers[COMPARED // 2 :])
        return sum(answers) >= MOSTLY_ANSWERED * COMPARED and later < LONGER * earlier
