"""Draws ids and names in many shapes, so that no pattern tells the grader's worlds from anybody else's.

Everything depends only on the random generator that is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.worlds import prose

if TYPE_CHECKING:
    from random import Random

MODELS: Final = ("claude-haiku-4-5", "claude-sonnet-5", "claude-opus-5-5")
FAMILIES: Final = ("haiku", "sonnet", "opus", "instant", "mini", "large")
PEOPLE: Final = ("ana", "ben", "chen", "dmitri", "eve", "fatima", "grace", "hiro", "ines", "jonas", "kofi", "lena")
ENDINGS: Final = ("set", "run", "eval", "check", "draft", "final", "probe", "study")


def ids(rng: Random, *, count: int) -> list[str]:
    """Distinct ids of many kinds, in an order that sorting would not give.

    Some differ only in case, in white space, in how an accent is written, or in zeros before a number.
    """
    kinds = (
        lambda: prose.word(rng, length=8),
        lambda: f"{rng.randrange(10**6):06d}",
        lambda: f"{prose.word(rng, letters=rng.choice(prose.CASELESS), length=4)} {rng.randrange(10_000)}",
        lambda: f"{prose.word(rng, length=3)}\"{prose.word(rng, length=3)}'/{rng.randrange(10_000)}",
        lambda: prose.word(rng, letters=prose.CYRILLIC, length=6).title(),
        lambda: f"{prose.word(rng, length=4)}{rng.choice(prose.SEPARATORS)}{prose.word(rng, length=4)}",
        lambda: f"{prose.nonce(rng)[:8]}-{prose.nonce(rng)[:4]}-{prose.nonce(rng)[:12]}",
        lambda: f"{prose.word(rng, length=5)}/{prose.word(rng, length=4)}#{rng.randrange(100)}",
    )
    drawn: dict[str, None] = dict.fromkeys(_alike(rng))
    while len(drawn) < count:
        drawn[rng.choice(kinds)()] = None
    found = list(drawn)[:count]
    rng.shuffle(found)
    # Otherwise a submission that sorts the dialogues would pass.
    while len(found) > 2 and found in (sorted(found), sorted(found, reverse=True)):
        rng.shuffle(found)
    return found


def _alike(rng: Random) -> list[str]:
    """Return ids that are the same to whoever ignores case, white space or accents, or reads them as numbers or YAML."""
    word, number = prose.word(rng, length=5), rng.randrange(2, 99)
    groups = (
        [word, word.upper(), f"{word} ", f" {word}"],
        [f"{word}é", f"{word}e\u0301"],
        [str(number), f"0{number}", f"{number}.0"],
        ["null", "true"],
    )
    return [each for group in groups for each in group]


def experiment_id(rng: Random) -> str:
    """Letters, digits and `._-`, which is what a manifest allows."""
    return rng.choice(
        (
            f"{prose.word(rng, length=5).title()}{rng.choice('._-')}{prose.nonce(rng)[:6]}x",
            f"{rng.choice(PEOPLE)}_{rng.choice(ENDINGS)}_{rng.randrange(100)}",
            f"-{prose.word(rng, length=6)}",
            f"_{prose.word(rng, length=4)}..{rng.choice(ENDINGS)}-",
            "-".join(prose.word(rng, length=9) for _ in range(9)),
            f"{rng.choice(ENDINGS)}-2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        )
    )


def like_a_number(rng: Random) -> str:
    """A name that some YAML readers take for a number."""
    octal = "".join(rng.choices("01234567", k=3))
    return rng.choice((f"{rng.randint(1, 9)}e{rng.randint(2, 99)}", f"0o{octal}"))


def model(rng: Random) -> str:
    return rng.choice(
        (
            f"claude-{rng.choice(FAMILIES)}-{rng.randint(2, 9)}-{rng.randint(0, 9)}",
            f"{prose.word(rng)}/{rng.choice(FAMILIES)}:{rng.randint(1, 99)}b",
            f"claude-{prose.word(rng)}-{rng.randint(2, 9)}",
            f"eu.anthropic.{rng.choice(MODELS)}-v{rng.randint(1, 9)}:0",
        )
    )


def file_name(rng: Random) -> str:
    return rng.choice(
        (
            prose.word(rng),
            f"{rng.choice(ENDINGS)}_{rng.randrange(1000)}",
            f"{prose.word(rng, length=4)} {prose.word(rng, length=4)}",
            f"{prose.word(rng, letters=prose.CYRILLIC, length=5)}.v{rng.randrange(10)}",
        )
    )


def person(rng: Random) -> str:
    return rng.choice(PEOPLE)


def key(rng: Random, *, real: bool) -> str:
    """A key of the shape of a real one, or of any shape."""
    if not real:
        return rng.choice((prose.nonce(rng), f"key.{prose.word(rng)}", prose.word(rng, length=1)))
    letters = prose.LATIN + prose.LATIN.upper() + "0123456789-_"
    return f"sk-ant-api03-{prose.word(rng, letters=letters, length=93)}-{prose.word(rng, letters=letters, length=6)}AA"


def address(rng: Random) -> str:
    return (
        f"https://{prose.word(rng, length=8)}.{rng.choice(('internal', 'example', 'test'))}:{rng.randint(1025, 65000)}"
    )
