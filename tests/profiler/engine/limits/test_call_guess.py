from __future__ import annotations

import msgspec
import pytest

from profiler.engine.limits.call_guess import CallGuess
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue

ASKED = Planner(msgspec.structs.replace(PARAMS, max_tokens=1024)).request(0, dialogue())


def known(mean: int = 20) -> CallGuess:
    guess = CallGuess()
    guess.answered(sent=400, input_tokens=100, output_tokens=mean)
    return guess


def output_of(guess: CallGuess) -> float:
    return guess.drawn_by(ASKED).output_tokens


def test_while_no_answer_is_known_a_call_may_use_all_it_may() -> None:
    assert output_of(CallGuess()) == 1024


def test_then_as_much_as_answers_did_but_never_more_than_it_may() -> None:
    assert output_of(known(20)) == 20
    assert output_of(known(2000)) == 1024


def test_one_long_answer_changes_the_guess_a_little() -> None:
    guess = known(20)
    guess.answered(sent=400, input_tokens=100, output_tokens=120)

    assert output_of(guess) == pytest.approx(25)


# ten calls in flight, for which we reckon with 10,240 tokens; their answers will have 200


def told(surplus: float, *, drawn: float = 10_240, calls: int = 10) -> bool:
    guess = known()
    guess.told(surplus=surplus, drawn=drawn, max_tokens=1024 * calls, calls=calls)
    return guess.holds_max_tokens


def test_a_provider_that_has_no_more_left_than_we_think_holds_what_calls_may_use() -> None:
    assert told(0)
    assert told(-5_000)  # somebody else uses the same key


def test_a_provider_that_has_more_left_by_what_calls_will_not_use_counts_answers() -> None:
    assert not told(10_040)


def test_what_would_look_the_same_both_ways_teaches_nothing() -> None:
    assert not told(0, drawn=200)
    assert not told(0, drawn=1024, calls=1)


def test_a_wrong_guess_is_put_right_by_a_later_reply() -> None:
    guess = known()
    guess.told(surplus=0, drawn=10_240, max_tokens=10_240, calls=10)
    assert output_of(guess) == 1024

    guess.told(surplus=10_040, drawn=10_240, max_tokens=10_240, calls=10)
    assert output_of(guess) == 20
