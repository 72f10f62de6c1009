"""One worker with a cap, whose broker is the test: what it is lent and when."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from profiler.core.errors import UsageError
from profiler.fleet.broker.broker import LEASE_S
from profiler.fleet.broker.link import Link
from profiler.fleet.broker.messages import Lease
from profiler.money.budget import Budget
from tests.profiler.fleet.broker.fleet import ROOT
from tests.profiler.fleet.broker.money_storm import CALL, CARD, REQUEST
from tests.profiler.jumping_clock import jumping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from profiler.fleet.broker.messages import Renewal


class AskingPool:
    """As much of a pool as a link looks at."""

    could_use = 4.0


@asynccontextmanager
async def lent_money(answer: Callable[[Renewal], Lease], *, after_s: float = 0.0) -> AsyncIterator[tuple[Link, Budget]]:
    """A worker with one open folder, for which nothing is set aside yet."""

    async def deliver(message: Renewal) -> Lease:
        await anyio.sleep(after_s)
        return answer(message)

    link = Link(deliver, who="w", root=ROOT, capped=True)
    budget = Budget(CARD, within=link.cap)
    async with anyio.create_task_group() as group:
        with link.asking(AskingPool(), folder=ROOT / "0.0", budget=budget):  # type: ignore[arg-type]
            group.start_soon(link.renew_all_the_time)
            yield link, budget
        group.cancel_scope.cancel()


def lends(message: Renewal, *, more: int = 100 * CALL, seq: int | None = None) -> Lease:
    assert message.money is not None
    seq = message.seq if seq is None else seq
    return Lease(seq=seq, expires_s=LEASE_S, money=message.money.bound + more)


@jumping
async def test_a_loan_counts_from_when_its_message_was_written() -> None:
    async with lent_money(lends, after_s=3.0) as (_, budget):
        await anyio.sleep(3.5)
        assert budget.reserve(REQUEST)
        await anyio.sleep(LEASE_S - 3.5 + 0.2)  # the next message was written after the first answer came
        assert budget.reserve(REQUEST) is None
        await anyio.sleep(2.5)
        assert budget.reserve(REQUEST)


@jumping
async def test_not_a_cent_more_is_set_aside_than_was_lent() -> None:
    async with lent_money(lambda message: lends(message, more=CALL - 1)) as (_, budget):
        await anyio.sleep(0.5)
        assert budget.reserve(REQUEST) is None


@jumping
async def test_the_answer_to_another_message_is_none() -> None:
    async with lent_money(lambda message: lends(message, seq=message.seq - 1)) as (_, budget):
        await anyio.sleep(3.0)
        assert budget.reserve(REQUEST) is None


@jumping
async def test_who_was_given_up_goes_on_under_another_name_and_has_nothing_at_first() -> None:
    names: list[str] = []

    def answer(message: Renewal) -> Lease:
        assert message.money is not None
        if message.who not in names:
            names.append(message.who)
        if message.who == "w" and message.seq == 4:
            return Lease(seq=message.seq, expires_s=0.0, money=0, lost=True)
        return lends(message, more=2 * CALL if message.who == "w" else 0)

    async with lent_money(answer) as (link, budget):
        await anyio.sleep(0.5)
        hold = budget.reserve(REQUEST)
        assert hold is not None
        budget.keep(hold)
        await anyio.sleep(10.0)

        assert names == ["w", "w+"]
        assert link.cap is not None
        assert link.cap.gone == 0  # the broker has counted it
        assert budget.reserve(REQUEST) is None


@pytest.mark.parametrize("capped", [True, False])
@jumping
async def test_a_cap_that_only_one_of_both_keeps_is_an_error(capped: bool) -> None:
    async def answer(message: Renewal) -> Lease:
        return Lease(seq=message.seq, expires_s=LEASE_S, money=None if capped else 0)

    with pytest.raises(UsageError, match=r"the (worker|broker) keeps a cap and the (worker|broker) does not"):
        await Link(answer, who="w", root=ROOT, capped=capped).renew_all_the_time()
