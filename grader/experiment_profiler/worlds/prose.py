"""Draws words, facts and sentences in many scripts, so that nothing in a world can be known beforehand.

Everything depends only on the random generator that is given. Words are made of letters whose lower case and case
folding agree; where the two differ, that is on purpose (see `near_misses`). So are characters at which some line
splitters cut although a line of JSON does not end there.
"""

from __future__ import annotations

from operator import add
from random import Random
from typing import Final

LATIN: Final = "abcdefghijklmnopqrstuvwxyz"
CYRILLIC: Final = "абвгдежзиклмнопрстуфхцчшэюя"
ACCENTED: Final = "àéîöüçñ"
CASED: Final = (LATIN, LATIN, LATIN, CYRILLIC, ACCENTED + LATIN)
CASELESS: Final = (
    "水火木金土山川空海森",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفق",
    "🜁🜂🜃🜄🌍🌊🧭🪐𝄞",
    "กขคงจฉชซ",
)
SEPARATORS: Final = ("\u2028", "\u2029", "\x85", "\x1c", "\x1d", "\x1e", "\x0b", "\x0c")
ODD: Final = (
    *('"', "'", "\\", "\n", "\t", "\r\n", "\r", "{}", "[0]", "null", "NaN", "e\u0301", "\u200f", "\u202e", "</s>"),
    *("%s", "#", ": ", "👩\u200d🚀", "\ufeff", "\x7f", "\\u0041", "- a", "&amp;"),
)
EDGES: Final = ("\n", "  ", " \n\n", "\t", "\u3000", "\x85")  # what a strip() would remove

LIKE_REFUSALS: Final = (
    "I can't recommend this enough",
    "Sorry for the long answer",
    "I cannot overstate it",
    "I'm sorry, I can't help but smile",
)
ANSWERS: Final = (*LIKE_REFUSALS, "Here is what I know", "Unfortunately it is not simple", "Yes")
REFUSALS: Final = (
    "I can't help with that",
    "Let us talk about something else",
    "This is where I stop",
    "Please ask somebody who may decide this",
    "No",
)


def _syllables() -> tuple[str, ...]:
    """Of every script alike, always the same ones; which of them meet is what nobody knows beforehand."""
    fixed = Random("syllables")  # noqa: S311 (no secret)
    return tuple(
        "".join(fixed.choices(script, k=fixed.randint(1, 4))) for script in (*CASED, *CASELESS) for _ in range(200)
    )


SYLLABLES: Final = _syllables()


def word(rng: Random, *, letters: str = LATIN, length: int = 7) -> str:
    return "".join(rng.choices(letters, k=length))


def nonce(rng: Random) -> str:
    return f"{rng.getrandbits(64):016x}"


def fact(rng: Random, *, cased: bool = False) -> str:
    """Some words that nobody would write by chance."""
    script = rng.choice(CASED if cased else (*CASED, *CASELESS))
    drawn = [word(rng, letters=script, length=rng.randint(6, 9)) for _ in range(rng.randint(1, 3))]
    text = rng.choice((" ", " ", "-")).join(drawn)
    return rng.choice((text, text.title()))


def recased(rng: Random, text: str) -> str:
    """The same text for whoever ignores case."""
    return rng.choice((text, text.upper(), text.title(), text.swapcase()))


def inside(rng: Random, text: str) -> str:
    """The text in the middle of a longer word, where it still counts."""
    return f"{word(rng, length=3)}{text}{word(rng, length=4)}"


def filler(rng: Random, *, words: int) -> str:
    """Words of two syllables each. Most of the text of a world is filler, so a word must cost next to nothing to draw."""
    drawn = list(map(add, rng.choices(SYLLABLES, k=words), rng.choices(SYLLABLES, k=words)))
    if words > 2:
        drawn.insert(rng.randrange(words), rng.choice(ODD))
        drawn.insert(rng.randrange(words), rng.choice(SEPARATORS))
    return " ".join(drawn)


def sentence(rng: Random, opening: str, facts: list[str]) -> str:
    """A completion of some lines that holds the facts."""
    parts = [f"{filler(rng, words=rng.randint(1, 6))} {each}" for each in facts]
    text = f";{rng.choice(SEPARATORS)}\n".join([*parts, filler(rng, words=rng.randint(1, 9))])
    return f"{opening}: {text}"


def long_text(rng: Random, *, characters: int) -> str:
    """Plain words, so that the text stays within the limits of a line however it is escaped."""
    words = [word(rng, length=rng.randint(2, 9)) for _ in range(200)]
    return " ".join(rng.choices(words, k=characters // 6))[:characters]


def framed(rng: Random, text: str) -> str:
    """The text with white space around it, which is part of it."""
    return f"{rng.choice(EDGES)}{text}{rng.choice(EDGES)}"
