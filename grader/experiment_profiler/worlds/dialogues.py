"""Draws dialogues with prepared answers, of many kinds: each kind exposes some wrong reading of the prompt.

A prepared answer is None where there is none. All prepared answers can pass: none lacks too many facts, and every
safety prompt is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.worlds import prose
from grader.experiment_profiler.worlds.near_misses import HELD, NEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    Dialogue = dict[str, Any]
    Prepared = dict[str, Any] | None
    Drawn = tuple[Dialogue, Prepared]
    Draw = Callable[[Random, str], Drawn]

SURELY_HELD: Final = 2  # facts for each one that is nearly held
LONG: Final = (20_000, 60_000)  # characters; a line may be four times as long


def resolved_type(told: str, stop_reason: str) -> str:
    """What the simulator says of an answer whose type and stop reason may disagree."""
    if "refusal" in (told, stop_reason):
        return "refusal"
    return (
        "truncated" if told == "truncated" or stop_reason in {"max_tokens", "model_context_window_exceeded"} else told
    )


def _asked(rng: Random, dialogue_id: str, facts: list[str]) -> Dialogue:
    dialogue: Dialogue = {
        "dialogue_id": dialogue_id,
        "system": prose.framed(rng, prose.filler(rng, words=rng.randint(1, 8))),
        "user": prose.framed(rng, f"{prose.filler(rng, words=rng.randint(1, 30))} {prose.nonce(rng)}?"),
        "required_facts": facts,
    }
    if rng.random() < 0.3:
        dialogue["tags"] = [prose.word(rng)]
    if rng.random() < 0.2:
        dialogue["expect_refusal"] = False
    return dialogue


def _answer(rng: Random, completion: str, *, told: str = "answer", stop_reason: str | None = None) -> dict[str, Any]:
    return {
        "completion": completion,
        "metadata": {"type": told},
        "stop_reason": stop_reason or rng.choice(("end_turn", "stop_sequence")),
        "usage": {"input_tokens": rng.randint(1, 900), "output_tokens": rng.randint(1, 900)},
    }


def _facts(rng: Random, *, least: int, most: int) -> list[str]:
    return [prose.fact(rng) for _ in range(rng.randint(least, most))]


def _holding(rng: Random, facts: Sequence[str]) -> str:
    """A completion that holds enough of the facts, not always all."""
    least = -(-len(facts) * 2 // 3)
    held = [prose.recased(rng, fact) for fact in rng.sample(facts, rng.randint(least, len(facts)))]
    return prose.sentence(rng, rng.choice(prose.ANSWERS), held)


# --- what is asked for, and how much of it is held -------------------------------------------------------------------


def _plain(rng: Random, dialogue_id: str) -> Drawn:
    return _asked(rng, dialogue_id, []), _answer(rng, prose.sentence(rng, rng.choice(prose.ANSWERS), []))


def _some_facts(rng: Random, dialogue_id: str) -> Drawn:
    facts = _facts(rng, least=1, most=7)
    return _asked(rng, dialogue_id, facts), _answer(rng, _holding(rng, facts))


def _many_facts(rng: Random, dialogue_id: str) -> Drawn:
    """Many facts, and white space before the answer.

    The first ones are held and the last quarter is missing: it shows when somebody looks for the first seven only.
    """
    facts = _facts(rng, least=9, most=24)
    held = facts[: rng.randint(max(7, -(-len(facts) * 2 // 3)), len(facts) - len(facts) // 4)]
    said = prose.sentence(rng, rng.choice(prose.ANSWERS), [prose.recased(rng, fact) for fact in held])
    return _asked(rng, dialogue_id, facts), _answer(rng, rng.choice(prose.EDGES) + said)


def _held_in_capitals(rng: Random, dialogue_id: str) -> Drawn:
    """Some facts in capitals and the others missing, in an answer that reads like a refusal."""
    facts = [prose.fact(rng, cased=True) for _ in range(rng.randint(3, 5))]
    chosen = rng.sample(facts, min(-(-len(facts) * 2 // 3), len(facts) - 1))
    completion = prose.sentence(rng, rng.choice(prose.LIKE_REFUSALS), [fact.upper() for fact in chosen])
    return _asked(rng, dialogue_id, facts), _answer(rng, completion)


def _odd_facts(rng: Random, dialogue_id: str) -> Drawn:
    """A fact twice, an empty one, and one with white space around it; each counts as it stands.

    The fact that stands twice is missing from the answer, so it is missing twice.
    """
    missing, held = prose.fact(rng), [f"{edge}{prose.fact(rng, cased=True)}{edge}" for edge in ("  ", "\n")]
    facts = [missing, *held, "", prose.fact(rng), missing]
    rng.shuffle(facts)
    completion = prose.sentence(rng, rng.choice(prose.ANSWERS), [*held, *(each for each in facts if each != missing)])
    return _asked(rng, dialogue_id, facts), _answer(rng, completion)


def _near(way: str) -> Draw:
    def draw(rng: Random, dialogue_id: str) -> Drawn:
        fact, said = NEAR[way](rng)
        held = [prose.fact(rng) for _ in range(SURELY_HELD)]
        facts = [fact, *held]
        rng.shuffle(facts)
        return _asked(rng, dialogue_id, facts), _answer(rng, prose.sentence(rng, "Nearly", [said, *held]))

    return draw


def _held(way: str) -> Draw:
    def draw(rng: Random, dialogue_id: str) -> Drawn:
        fact, said = HELD[way](rng)
        return _asked(rng, dialogue_id, [fact]), _answer(rng, prose.sentence(rng, "Held", [said]))

    return draw


# --- types and stop reasons ------------------------------------------------------------------------------------------


def _safety(rng: Random, dialogue_id: str) -> Drawn:
    dialogue = _asked(rng, dialogue_id, _facts(rng, least=1, most=2)) | {"expect_refusal": True}
    told, stop_reason = rng.choice((("refusal", "refusal"), ("refusal", "end_turn"), ("answer", "refusal")))
    completion = prose.sentence(rng, rng.choice(prose.REFUSALS), [])
    return dialogue, _answer(rng, completion, told=told, stop_reason=stop_reason)


def _typed(told: str, stop_reason: str) -> Draw:
    """Facts are required only of answers that can hold them, not of refused ones."""

    def draw(rng: Random, dialogue_id: str) -> Drawn:
        facts = [] if told == "refusal" or rng.random() < 0.5 else _facts(rng, least=1, most=3)
        opening = rng.choice(prose.REFUSALS if told == "refusal" else prose.ANSWERS)
        completion = prose.sentence(rng, opening, [prose.recased(rng, fact) for fact in facts])
        return _asked(rng, dialogue_id, facts), _answer(rng, completion, told=told, stop_reason=stop_reason)

    return draw


def _unanswered(rng: Random, dialogue_id: str) -> Drawn:
    return _asked(rng, dialogue_id, _facts(rng, least=1, most=4)), None


# --- sizes -----------------------------------------------------------------------------------------------------------


def _long(rng: Random, dialogue_id: str) -> Drawn:
    facts = _facts(rng, least=2, most=4)
    dialogue = _asked(rng, dialogue_id, facts)
    dialogue["user"] += prose.long_text(rng, characters=rng.randint(*LONG))
    completion = prose.sentence(rng, prose.long_text(rng, characters=rng.randint(*LONG)), facts)
    return dialogue, _answer(rng, completion)


def _terse(rng: Random, dialogue_id: str) -> Drawn:
    """An empty system prompt, and an answer of one character."""
    dialogue = _asked(rng, dialogue_id, []) | {"system": ""}
    return dialogue, _answer(rng, rng.choice(("1", ".", "水", " ")))


ALWAYS: Final[dict[str, Draw]] = {  # of which every drawn world has at least one each
    "plain": _plain,
    "facts": _some_facts,
    "many facts": _many_facts,
    "capitals": _held_in_capitals,
    "odd facts": _odd_facts,
    "safety": _safety,
    "terse": _terse,
    "unanswered": _unanswered,
    **{f"nearly: {way}": _near(way) for way in NEAR},
    **{f"held: {way}": _held(way) for way in HELD},
    "declined": _typed("refusal", "refusal"),
    "refused without a reason": _typed("refusal", "end_turn"),
    "refused by reason alone": _typed("answer", "refusal"),
    "refused and cut": _typed("refusal", "max_tokens"),
    "cut": _typed("answer", "max_tokens"),
    "cut by the window": _typed("answer", "model_context_window_exceeded"),
    "cut without a reason": _typed("truncated", "end_turn"),
}
MORE: Final = (
    "plain",
    "facts",
    "capitals",
    "safety",
    "declined",
    "cut",
    "unanswered",
)  # what a larger world has more of
# Many answers are declined, and have full coverage because nothing is required of them. So the two factors of the
# geometric mean lie far apart, and a submission that takes another mean is found out.
LEANINGS: Final = ((1, 1, 1, 1, 12, 1, 1), (2, 2, 0, 0, 9, 1, 0), (0, 1, 1, 0, 14, 2, 1))


def draw(rng: Random, ids: Sequence[str], *, long: bool) -> list[tuple[Dialogue, Prepared]]:
    """A dialogue for each id, in this order. Two of them ask the same but have different answers."""
    draws = [*ALWAYS.values(), *([_long] if long else [])]
    more = rng.choices(MORE, rng.choice(LEANINGS), k=len(ids) - len(draws))
    draws += [ALWAYS[kind] for kind in more]
    rng.shuffle(draws)
    drawn = [each(rng, dialogue_id) for each, dialogue_id in zip(draws, ids, strict=True)]
    (one, _), (other, _) = rng.sample(drawn, 2)
    other.update({key: one[key] for key in ("system", "user")})
    return drawn


def small(rng: Random, ids: Sequence[str], kind: str) -> list[tuple[Dialogue, Prepared]]:
    """Dialogues that are all of one kind."""
    return [ALWAYS[kind](rng, dialogue_id) for dialogue_id in ids]
