from __future__ import annotations

import pytest

from profiler.errors import CallError
from profiler.refusals import HOPELESS_AFTER, Refusals

NO_MODEL = CallError("not_found", "there is no such model", status=404)
BUSY = CallError("overloaded", "busy", status=529, retryable=True)
RESET = CallError("connection", "reset", retryable=True)


def reasons(*errors: CallError, refusals: Refusals | None = None) -> list[bool]:
    counted = refusals or Refusals()
    return [counted.given_up(error) is not None for error in errors]


def test_the_first_refusals_of_one_kind_are_hopeless() -> None:
    assert reasons(*[NO_MODEL] * HOPELESS_AFTER) == [False] * (HOPELESS_AFTER - 1) + [True]


def test_refusals_of_several_kinds_are_about_their_dialogues() -> None:
    other = CallError("invalid_request", "too long", status=400)
    assert not any(reasons(*[NO_MODEL, other] * (HOPELESS_AFTER - 1)))


def test_after_an_answer_a_refusal_is_about_its_dialogue() -> None:
    refusals = Refusals()
    refusals.answered()
    assert not any(reasons(*[NO_MODEL] * 50, refusals=refusals))


def test_a_provider_that_puts_everybody_off_is_hopeless_also_in_the_middle_of_a_run() -> None:
    refusals = Refusals()
    refusals.answered()
    found = [refusals.given_up(BUSY) for _ in range(HOPELESS_AFTER)]

    assert found[:-1] == [None] * (HOPELESS_AFTER - 1)
    assert found[-1] is not None
    assert "5 dialogues in a row were put off beyond their deadline: busy" in str(found[-1])


def test_an_answer_in_between_is_a_reason_to_go_on() -> None:
    refusals = Refusals()
    for _ in range(20):
        assert not any(reasons(*[BUSY] * (HOPELESS_AFTER - 1), refusals=refusals))
        refusals.answered()


@pytest.mark.parametrize("error", [RESET, CallError("server_error", "oops", status=500, retryable=True)])
def test_what_may_pass_is_no_refusal(error: CallError) -> None:
    assert not any(reasons(*[error] * 50))
