"""How long answers are: texts that are made up, drawn out to a length from a log-normal distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from profiler.core.nouns import CHARACTERS_PER_TOKEN
from profiler.provider.inventing.schema_values import WORDS

if TYPE_CHECKING:
    from random import Random

LONGEST = 1 << 17  # tokens; no model gives more at once


def drawn_length(random: Random, *, median: float, sigma: float) -> int:
    """Tokens of one answer."""
    return min(LONGEST, max(1, round(median * math.exp(random.gauss(0, sigma)))))


def stretched(text: str, tokens: int, random: Random) -> str:
    """The text with so many tokens: cut, or gone on with sentences of drawn words."""
    wanted = max(1, tokens * CHARACTERS_PER_TOKEN - 1)
    if len(text) >= wanted:
        return text[:wanted]
    pieces, length = [text], len(text)
    while length < wanted:
        words = random.choices(WORDS, k=random.randint(6, 12))
        pieces.append(" ".join(words).capitalize() + ".")
        length += 1 + len(pieces[-1])
    return " ".join(pieces)[:wanted]
