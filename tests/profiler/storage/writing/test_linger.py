"""A wait for more to write ends by itself, once, and can be begun again."""

from __future__ import annotations

import anyio

from profiler.storage.writing.linger import Linger


async def test_a_wait_is_over_when_it_wakes_and_the_next_one_begins_anew() -> None:
    linger, over = Linger(), []
    for _ in range(2):
        woken = anyio.Event()
        linger.begin(0, wake=woken.set)
        over.append(linger.over)
        await woken.wait()
        over.append(linger.over)
        linger.forget()
    assert over == [False, True, False, True]


async def test_a_wait_that_is_forgotten_wakes_nobody_and_one_that_has_begun_is_not_begun_twice() -> None:
    linger, said, woken = Linger(), [], anyio.Event()
    linger.begin(0, wake=lambda: said.append("forgotten"))
    linger.forget()
    linger.begin(0, wake=woken.set)
    linger.begin(0, wake=lambda: said.append("twice"))
    await woken.wait()
    await anyio.lowlevel.checkpoint()
    assert (said, linger.over) == ([], True)
