"""Tells whether a reply is an answer, a refusal or a truncated answer.

The evidence, strongest first: `stop_reason`, then `metadata["type"]`, then how the text begins. A phrase counts only at
the start of the reply, after an apology or the like, and only when it names the act that is declined: "I can't help
with that" is a refusal; "I can't recommend this book enough", "I cannot overstate …" and "I can't help but smile" are
answers. Letter case and the kind of apostrophe do not matter.

The phrases are English. A refusal in another language is recognised only by its stop reason or metadata. Failed calls
have no reply and do not come here.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.core.nouns import RecordType

OPENING_CHARS: Final = 200
TRUNCATING: Final = ("max_tokens", "model_context_window_exceeded")

_QUOTE = r"['’‘ʼ`]?"
_AS_AN_AI = r"(?:as\ an?\ (?:ai|artificial|language|large)\b[^.,\n]{0,60},\s+)?"
_SORRY = rf"""
    (?:(?:i{_QUOTE}m\ |i\ am\ )?(?:very\ |really\ |so\ |truly\ )?(?:sorry|afraid)(?:\ about\ that)?
     | i\ (?:sincerely\ )?apologi[sz]e
     | my\ apologies
    )[,.;:—–-]?\s*(?:but\ |that\ )?
"""
_PREAMBLE = rf"""
    [\s"“*_>]*
    (?:(?:no|hi|hello|thank\ you|thanks)\b[^.,!\n]{{0,30}}[.,!]\s+)?
    {_AS_AN_AI}(?:unfortunately,?\s+)?(?:{_SORRY})?{_AS_AN_AI}(?:unfortunately,?\s+)?
"""
_ACT = r"""(?:
    help(?!\ (?:but|it|myself|[a-z]+ing)\b)
    | (?:assist|comply|fulfil|fulfill|engage|participate|facilitate|support\ (?:this|that|your))\b
    | (?:provide|offer|share|give|create|write|generate|produce|discuss)\b(?!.{0,30}\benough\b)(?!\ (?:how|what)\b)
    | (?:tell|show|teach|walk|guide)\ you\ (?:through\ |how\ to\b)
    | (?:do|continue\ with|answer|respond\ to|carry\ out|complete)\ (?:that|this|your|such|these|those)\b
)"""
_ACTING = r"(?:help|assist|provid|shar|writ|creat|discuss|do|giv|generat|produc)ing\b"
_CANNOT = rf"(?:can{_QUOTE}t|cannot|can\ not|won{_QUOTE}t|will\ not|couldn{_QUOTE}t|could\ not)"
_HOW = r"(?:ethically\ |in\ good\ conscience\ |legally\ |directly\ |possibly\ )?"
_DECLINES = rf"""(?:
    i\ (?:just\ |simply\ |really\ )?{_CANNOT}\ {_HOW}{_ACT}
    | i(?:{_QUOTE}m|\ am)\ (?:unable|not\ (?:able|allowed|permitted|willing|going))\ to\ {_ACT}
    | i(?:{_QUOTE}m|\ am)\ not\ comfortable\ (?:with\ )?{_ACTING}
    | i\ (?:do\ not|don{_QUOTE}t)\ feel\ comfortable\ (?:with\ )?{_ACTING}
    | i(?:{_QUOTE}ll|\ will)?\ (?:must\ |have\ to\ |need\ to\ )?(?:respectfully\ |politely\ )?(?:decline|refuse)\b
    | (?:that|this|it)(?:{_QUOTE}s|\ is)\ (?:not\ something\ i\ (?:can|will|am\ able\ to)|something\ i\ {_CANNOT})\ {_ACT}
    | (?:that|this|it)\ isn{_QUOTE}t\ something\ i(?:\ can|\ will|{_QUOTE}m\ able\ to|\ am\ able\ to)\ {_ACT}
)"""


@cache
def _refusal() -> re.Pattern[str]:
    """Compiled when a reply begins so that it may match: that takes 10 ms, and many a run has none."""
    return re.compile(_PREAMBLE + _DECLINES, re.IGNORECASE | re.VERBOSE)


# Nearly every reply cannot match, which its first three letters show in a tenth of the time that the pattern takes, or a
# word that it lacks. So whatever the pattern may begin with must be listed here too, with a word that must follow.
_QUOTES = "'’‘ʼ`"
_LEADING = frozenset('"“*_>')  # or a space of any kind
_GREETINGS = frozenset(["hi", "no"])  # whatever comes behind them, if it makes them no other word
_OPENINGS = {
    **dict.fromkeys([f"i {letter}" for letter in "acdhjmnprsw"], ""),
    **dict.fromkeys([f"i{quote}{letter}" for quote in _QUOTES for letter in "ml"], ""),
    **dict.fromkeys(["im ", "ill", "hel", "tha", "as ", "unf", "ver", "rea", "so ", "tru", "sor", "afr", "my "], ""),
    **dict.fromkeys(["thi", *[f"it{letter}" for letter in f" s{_QUOTES}"]], "something"),
}


def classify(completion: str, stop_reason: str | None, metadata: Mapping[str, Any] | None = None) -> RecordType:
    """The type of a reply. Refusal comes first: one that ran out of tokens is still a refusal."""
    told = metadata.get("type") if metadata else None
    if stop_reason == "refusal" or told == "refusal":
        return "refusal"
    if told not in ("answer", "truncated") and _declines(completion):
        return "refusal"
    if stop_reason in TRUNCATING or told == "truncated":
        return "truncated"
    return "answer"


@lru_cache(maxsize=1024)
def _must_follow(opening: str) -> str | None:
    """A word that a refusal must hold which begins with these letters, perhaps none (""); None: no refusal begins so."""
    opening = opening.lower()
    unsaid = opening[:2] in _GREETINGS or opening[:1] in _LEADING or opening[:1].isspace()
    return _OPENINGS.get(opening, "" if unsaid else None)


def _declines(completion: str) -> bool:
    must_follow = _must_follow(completion[:3])
    if must_follow is None or (must_follow and must_follow not in completion[:OPENING_CHARS].lower()):
        return False
    return _refusal().match(completion, 0, OPENING_CHARS) is not None
