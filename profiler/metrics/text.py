"""How texts are prepared before they are compared: `normalize` and `extract` of a manifest, the same for every metric."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from profiler.core.patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from profiler.manifest.metrics import Preparation

_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


def _without_punctuation(text: str) -> str:
    return "".join([each for each in text if not unicodedata.category(each).startswith("P")])


# In this order, whatever the order in the manifest: a step may make work for a later one, as `A. B` becomes `A B`.
_STEPS: dict[Preparation, Callable[[str], str]] = {
    "unicode": lambda text: unicodedata.normalize("NFKC", text),
    "case": str.casefold,
    "punctuation": _without_punctuation,
    "articles": lambda text: _ARTICLES.sub(" ", text),
    "space": lambda text: " ".join(text.split()),
}


def normalizer(wanted: Sequence[Preparation]) -> Callable[[str], str]:
    steps = [step for name, step in _STEPS.items() if name in wanted]

    def normalized(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    # Expectations come again for every repeat and metric; long texts would stay in memory.
    remembered = lru_cache(maxsize=512)(normalized)
    return lambda text: remembered(text) if len(text) < 1_024 else normalized(text)


def extractor(pattern: str | None) -> Callable[[str], str | None]:
    """The last match of the pattern, or its first group; None where there is none.

    The last and not the first: a model that reasons aloud gives the answer at the end.
    """
    if pattern is None:
        return lambda text: text
    find = compiled(pattern)

    def extracted(text: str) -> str | None:
        last = None
        for match in find.finditer(text):
            last = match
        if last is None:
            return None
        group: str | None = last.group(1) if find.groups else last.group(0)
        return group

    return extracted
