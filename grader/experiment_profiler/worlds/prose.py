"""Random words, facts and sentences in many scripts, with a nonce in each: nothing here can be known beforehand.

Everything is a function of the random generator given. Letters are those whose lower case and case folding agree, so
that every honest way to ignore case finds the same; no character is drawn that some line splitter takes for an end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

LATIN: Final = "abcdefghijklmnopqrstuvwxyz"
CYRILLIC: Final = "абвгдежзиклмнопрстуфхцчшэюя"
CASED: Final = (LATIN, LATIN, LATIN, CYRILLIC, "àéîöüçñ" + LATIN)
CASELESS: Final = (
    "水火木金土山川空海森",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفق",
    "🜁🜂🜃🜄🌍🌊🧭🪐𝄞",
    "กขคงจฉชซ",
)
ODD: Final = (
    '"',
    "'",
    "\\",
    "\n",
    "\t",
    "\r\n",
    "{}",
    "[0]",
    "null",
    "NaN",
    "e\u0301",
    "\u200f",
    "\u202e",
    "</s>",
    "%s",
    "#",
    ": ",
    "👩\u200d🚀",
)

EDGES: Final = ("\n", "  ", " \n\n", "\t")  # what a strip() would take away

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


def word(rng: Random, *, letters: str = LATIN, length: int = 7) -> str:
    return "".join(rng.choices(letters, k=length))


def nonce(rng: Random) -> str:
    return f"{rng.getrandbits(64):016x}"


def fact(rng: Random, *, cased: bool = False) -> str:
    """Some words nobody would write by chance."""
    script = rng.choice(CASED if cased else (*CASED, *CASELESS))
    words = [word(rng, letters=script, length=rng.randint(6, 9)) for _ in range(rng.randint(1, 3))]
    text = rng.choice((" ", " ", "-")).join(words)
    return rng.choice((text, text.title()))


def near(fact: str) -> str:
    """Most of a fact, which is not enough."""
    return fact[:-1]


def recased(rng: Random, text: str) -> str:
    """The same to those who ignore case."""
    return rng.choice((text, text.upper(), text.title(), text.swapcase()))


def filler(rng: Random, *, words: int) -> str:
    drawn = [word(rng, letters=rng.choice((*CASED, *CASELESS)), length=rng.randint(2, 8)) for _ in range(words)]
    if words > 2:
        drawn.insert(rng.randrange(words), rng.choice(ODD))
    return " ".join(drawn)


def sentence(rng: Random, opening: str, facts: list[str]) -> str:
    """A completion of some lines that holds the facts and a nonce, and does not end where its words do."""
    parts = [f"{filler(rng, words=rng.randint(1, 6))} {each}" for each in facts]
    text = ";\n".join([*parts, filler(rng, words=rng.randint(1, 9))])
    return f"{opening}: {text}\n[{nonce(rng)}]{rng.choice(EDGES)}"


def framed(rng: Random, text: str) -> str:
    """With white space around it, which belongs to it."""
    return f"{rng.choice(EDGES)}{text}{rng.choice(EDGES)}"
