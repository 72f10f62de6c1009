"""Facts that an answer holds, or only nearly holds: some wrong way of searching takes each near miss for a hit.

Each function returns a fact, and what the answer says in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.worlds import prose

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Pair = tuple[str, str]


def _words(rng: Random, *, letters: str = prose.LATIN, between: str = " ") -> str:
    return between.join(prose.word(rng, letters=letters, length=rng.randint(6, 9)) for _ in range(3))


def _other(rng: Random, letter: str) -> str:
    return rng.choice([each for each in prose.LATIN if each != letter.lower()])


def _first_letter(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, _other(rng, fact[0]) + fact[1:]


def _last_letter(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, fact[:-1] + _other(rng, fact[-1])


def _middle_letter(rng: Random) -> Pair:
    fact = _words(rng)
    at = fact.index(" ") + 3
    return fact, fact[:at] + _other(rng, fact[at]) + fact[at + 1 :]


def _first_word(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, fact.partition(" ")[2]


def _last_word(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, fact.rpartition(" ")[0]


def _words_in_another_order(rng: Random) -> Pair:
    first, second, third = _words(rng).split(" ")
    return f"{first} {second} {third}", f"{third} {first} {second}"


def _accents(rng: Random) -> Pair:
    fact = _words(rng) + "é"
    return fact, fact[:-1] + "e"


def _composed(rng: Random) -> Pair:
    """The same to the eye, but the accent is a character of its own."""
    fact = _words(rng) + "é"
    return fact, fact[:-1] + "e\u0301"


def _more_space(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, fact.replace(" ", "  ", 1)


def _other_space(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, fact.replace(" ", rng.choice(("\n", "\t", "\u00a0")), 1)


def _no_space(rng: Random) -> Pair:
    fact = _words(rng)
    return fact, fact.replace(" ", "")


def _edge_space(rng: Random) -> Pair:
    """White space at its ends is part of a fact."""
    fact = f"\t{_words(rng)}\t"
    return fact, fact.strip()


def _punctuation(rng: Random) -> Pair:
    fact = _words(rng, between=rng.choice("-/.,"))
    return fact, fact.translate({ord(char): " " for char in "-/.,"})


def _full_stop(rng: Random) -> Pair:
    fact = f"{_words(rng)}!"
    return fact, fact[:-1]


def _dotless(rng: Random) -> Pair:
    """Equal in upper case, but not when case is folded."""
    fact = f"{_words(rng)} kılım"
    return fact, fact.replace("ı", "i")


def _wide(rng: Random) -> Pair:
    """Equal only after compatibility normalisation."""
    fact = f"{_words(rng)} 42"
    return fact, fact.replace("42", "４２")


NEAR: Final[dict[str, Callable[[Random], Pair]]] = {
    "first letter": _first_letter,
    "last letter": _last_letter,
    "middle letter": _middle_letter,
    "first word": _first_word,
    "last word": _last_word,
    "another order": _words_in_another_order,
    "accents": _accents,
    "composed": _composed,
    "more space": _more_space,
    "other space": _other_space,
    "no space": _no_space,
    "edge space": _edge_space,
    "punctuation": _punctuation,
    "full stop": _full_stop,
    "dotless": _dotless,
    "wide": _wide,
}


def _sharp_s(rng: Random) -> Pair:
    """Equal only when case is folded, which turns ß into ss."""
    fact = f"{_words(rng)} straße"
    return fact, fact.upper()


def _ligature(rng: Random) -> Pair:
    """Equal only when case is folded, which turns the ligature into two letters."""
    fact = f"{_words(rng)} ﬁnch"
    return fact, fact.replace("ﬁ", "FI")


def _sigma(rng: Random) -> Pair:
    fact = f"{_words(rng)} σοφος"
    return fact, fact.upper()


def _in_a_word(rng: Random) -> Pair:
    fact = prose.word(rng, length=8)
    return fact, prose.inside(rng, fact)


def _in_capitals(rng: Random) -> Pair:
    fact = _words(rng, letters=rng.choice(prose.CASED))
    return fact, fact.upper()


def _across_lines(rng: Random) -> Pair:
    """A line break in a fact is a character like any other."""
    fact = _words(rng, between=rng.choice(("\n", *prose.SEPARATORS)))
    return fact, fact.title()


HELD: Final[dict[str, Callable[[Random], Pair]]] = {
    "sharp s": _sharp_s,
    "ligature": _ligature,
    "sigma": _sigma,
    "in a word": _in_a_word,
    "in capitals": _in_capitals,
    "across lines": _across_lines,
}
