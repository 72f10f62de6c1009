from __future__ import annotations

import pytest

from profiler.core.errors import CallError
from profiler.engine.limits.first_refusals import HOPELESS_AFTER
from profiler.engine.limits.health import OUTAGE_AFTER, UNLUCKY_AFTER, ProviderHealth, refusal, unheard

NO_MODEL = CallError("not_found", "there is no such model", status=404)
BUSY = CallError("overloaded", "busy", status=529, retryable=True)
RESET = CallError("connection", "reset", retryable=True)
GONE = CallError("connection", "cannot connect", retryable=True, sent=False)


def reasons(*errors: CallError, health: ProviderHealth | None = None) -> list[bool]:
    """Calls that fail one after the other, and whether that is reason enough to stop after each of them."""
    counted = health or ProviderHealth()
    found = []
    for number, error in enumerate(errors):
        counted.first.left(number)
        counted.first.ended(number, refused=error.kind if refusal(error) else None)
        found.append(counted.gave_up(error) is not None)
    return found


def test_the_first_refusals_of_one_kind_are_hopeless() -> None:
    assert reasons(*[NO_MODEL] * HOPELESS_AFTER) == [False] * (HOPELESS_AFTER - 1) + [True]


def test_refusals_of_several_kinds_are_about_their_dialogues() -> None:
    other = CallError("invalid_request", "too long", status=400)
    assert not any(reasons(*[NO_MODEL, other] * (HOPELESS_AFTER - 1)))


def test_after_an_answer_a_refusal_is_about_its_dialogue() -> None:
    health = ProviderHealth()
    health.answered()
    assert not any(reasons(*[NO_MODEL] * 50, health=health))


def test_a_provider_that_puts_everybody_off_is_hopeless_also_in_the_middle_of_a_run() -> None:
    health = ProviderHealth()
    health.answered()
    found = [health.gave_up(BUSY) for _ in range(HOPELESS_AFTER)]

    assert found[:-1] == [None] * (HOPELESS_AFTER - 1)
    assert found[-1] is not None
    assert "5 dialogues in a row found no way in before the deadline: busy" in str(found[-1])


def test_an_answer_in_between_is_a_reason_to_go_on() -> None:
    health = ProviderHealth()
    for _ in range(20):
        assert not any(reasons(*[BUSY] * (HOPELESS_AFTER - 1), health=health))
        health.answered()


@pytest.mark.parametrize("error", [RESET, CallError("server_error", "oops", status=500, retryable=True)])
def test_failures_of_the_provider_one_after_the_other_are_hopeless(error: CallError) -> None:
    health = ProviderHealth()
    health.answered()
    assert reasons(*[error] * UNLUCKY_AFTER, health=health) == [False] * (UNLUCKY_AFTER - 1) + [True]


def test_dialogues_that_nobody_heard_are_enough_on_their_own() -> None:
    mixed = [RESET, GONE] * HOPELESS_AFTER
    assert reasons(*mixed) == [False] * (len(mixed) - 1) + [True]


def test_what_may_be_the_fault_of_a_dialogue_is_asked_again_only_on_demand() -> None:
    hints = [stop.hint or "" for error in (RESET, GONE) if (stop := [ProviderHealth().all_ended(error)][0]) is not None]
    assert ["--retry-failed" in hint for hint in hints] == [True, False]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GONE, True),
        (BUSY, True),
        (CallError("server_error", "502 Bad Gateway", status=502, retryable=True), True),
        (CallError("server_error", "503 Service Unavailable", status=503, retryable=True), True),
        (CallError("server_error", "504 Gateway Timeout", status=504, retryable=True), False),
        (CallError("server_error", "oops", status=500, retryable=True), False),
        (RESET, False),
        (NO_MODEL, False),
    ],
)
def test_what_says_nothing_of_its_dialogue(error: CallError, expected: bool) -> None:
    assert unheard(error) is expected


def test_a_provider_that_answered_before_and_cannot_be_reached_is_out() -> None:
    health = ProviderHealth()
    health.answered()
    found = []
    for _ in range(OUTAGE_AFTER):
        health.failed(GONE)
        found.append(health.outage)
    assert found == [None] * (OUTAGE_AFTER - 1) + ["cannot connect"]


@pytest.mark.parametrize("sign", ["an answer", "a refusal"])
def test_whoever_shows_a_sign_of_life_is_not_out(sign: str) -> None:
    health = ProviderHealth()
    health.answered()
    for _ in range(OUTAGE_AFTER):
        health.failed(GONE)
    assert health.outage == "cannot connect"
    if sign == "an answer":
        health.answered()
    else:
        health.failed(NO_MODEL)
    assert health.outage is None


def test_a_refusal_in_between_is_a_reason_to_go_on() -> None:
    health = ProviderHealth()
    health.answered()
    assert not any(reasons(*[*[GONE] * (HOPELESS_AFTER - 1), NO_MODEL] * 20, health=health))


def test_nobody_waits_for_a_provider_that_never_answered() -> None:
    health = ProviderHealth()
    for _ in range(50):
        health.failed(GONE)
    assert health.outage is None


def test_a_provider_that_refused_others_is_there() -> None:
    """So a dialogue that nobody heard ends as an error, whether it ends before or after them."""
    health = ProviderHealth()
    health.gave_up(NO_MODEL)

    assert health.all_ended(GONE) is None
    assert ProviderHealth().all_ended(GONE) is not None
