from __future__ import annotations

import anyio

from profiler.engine.limits.first_refusals import HOPELESS_AFTER, FirstRefusals


def refused(first: FirstRefusals, *calls: str, kind: str = "not_found") -> None:
    for call in calls:
        first.ended(call, refused=kind)


def begun(*calls: str) -> FirstRefusals:
    first = FirstRefusals()
    for call in calls:
        first.left(call)
    return first


ALL = [f"call {number}" for number in range(HOPELESS_AFTER + 2)]


def test_enough_of_one_kind_are_hopeless_when_nothing_that_left_before_is_in_flight() -> None:
    first = begun(*ALL)
    refused(first, *ALL[:HOPELESS_AFTER])

    assert (first.hopeless, first.undecided) == (True, False)


def test_nothing_is_decided_while_a_call_that_left_before_may_still_be_answered() -> None:
    first = begun(*ALL)
    refused(first, *ALL[1:])
    assert (first.hopeless, first.undecided) == (False, True)

    first.ended(ALL[0])  # without an answer
    assert (first.hopeless, first.undecided) == (True, False)


def test_an_answer_of_the_slow_one_is_reason_to_go_on() -> None:
    first = begun(*ALL)
    refused(first, *ALL[1:])
    first.answered()

    assert (first.hopeless, first.undecided) == (False, False)


async def test_who_waits_for_the_slow_one_goes_on_when_it_has_ended() -> None:
    first = begun(*ALL)
    refused(first, *ALL[1:])

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(lambda: first.decided(give_up=anyio.Event()))
            await anyio.wait_all_tasks_blocked()
            first.answered()


async def test_who_gives_up_does_not_wait() -> None:
    first, give_up = begun(*ALL), anyio.Event()
    refused(first, *ALL[1:])

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: first.decided(give_up=give_up))
            await anyio.wait_all_tasks_blocked()
            give_up.set()
