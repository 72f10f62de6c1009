"""The index of answers: whatever is in it, it finds what a search through all of them finds."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as some

from profiler.storage.reuse.answer_index import Answer, AnswerIndex, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTIONS = [sha256(b"%d" % number).hexdigest() for number in range(4)]

answers = some.tuples(some.sampled_from(QUESTIONS), some.integers(0, 1), some.sampled_from("abc"))
runs = some.lists(some.tuples(some.integers(0, 1), some.lists(answers, max_size=12)), max_size=4)
wanted = some.lists(some.tuples(answers, some.integers(0, 2), some.integers(-1, 3)), max_size=30)

Runs = list[tuple[int, list[tuple[str, int, str]]]]


def filled(found: Runs) -> AnswerIndex:
    """Each run has a source; the place of an answer is its number in the run."""
    index = AnswerIndex()
    for run, (source, of_run) in enumerate(found):
        index.add((Answer(*each, at, 1) for at, each in enumerate(of_run)), run=run, source=source)
    index.all_added()
    return index


def searched(found: Runs, answer: tuple[str, int, str], *, source: int, but: int) -> Sequence[Place]:
    """The answers that would do: of the first run that has any, those of the same dialogue if there are such."""
    for run, (whose, of_run) in enumerate(found):
        fit = [(at, each) for at, each in enumerate(of_run) if each[:2] == answer[:2]]
        if fit and whose == source and run != but:
            same = [(at, each) for at, each in fit if each == answer]
            return [Place(run, at, 1) for at, _ in same or fit]
    return []


@given(runs, wanted)
def test_the_first_run_that_has_an_answer_wins_and_each_dialogue_gets_its_own(
    found: Runs, asked: list[tuple[tuple[str, int, str], int, int]]
) -> None:
    with closing(filled(found)) as index:
        for answer, source, but in asked:
            question, repeat, dialogue = answer
            place = index.find(question, repeat=repeat, source=source, dialogue_id=dialogue, but=but)
            fit = searched(found, answer, source=source, but=but)
            assert place in fit if fit else place is None
