"""What a command says to a broker of its workers, and how it calls them."""

from __future__ import annotations

from profiler.fleet.broker.messages import Envelope, Gone, Lease
from profiler.fleet.broker.server import BrokerServer
from profiler.fleet.drivers.reached_broker import ReachedBroker


class Heard:
    """What a broker was told."""

    def __init__(self) -> None:
        self.gone: list[Gone | None] = []

    def answer(self, sent: Envelope) -> Lease:
        self.gone.append(sent.gone)
        return Lease(seq=0, expires_s=0.0)

    def give_up_the_overdue(self) -> None:
        """Nobody is."""


def test_no_two_workers_have_one_name_at_a_broker_whichever_command_they_are_of() -> None:
    brokers = [ReachedBroker("tcp://127.0.0.1:1", token="t", capped=True) for _ in range(2)]
    names = {broker.lender(worker).who for broker in brokers for worker in range(20)}
    assert len(names) == 2 * 20


async def test_a_worker_that_is_no_more_is_told_of_by_the_name_under_which_it_was_lent_to() -> None:
    heard = Heard()
    async with BrokerServer(heard, token="t").serving("127.0.0.1", 0) as port:  # type: ignore[arg-type]
        broker = ReachedBroker(f"tcp://127.0.0.1:{port}", token="t", capped=True)
        await broker.forget(3)
    assert heard.gone == [Gone(who=broker.lender(3).who)]
