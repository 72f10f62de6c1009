"""Workers that spend a cap which a broker lends, over a network that loses, doubles and delays, with kills of everybody.

All of it is the real thing but the network, the clock, the provider, which keeps the bill, and the journals: a folder tells
what was spent in it, and the worst case of the calls that it leaves open.
"""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.kept_money import NAME
from profiler.fleet.broker.leased_cap import LeasedCap
from profiler.fleet.broker.messages import Envelope, Gone, Renewal
from profiler.fleet.broker.settings import BrokerSettings
from profiler.money.budget import Budget
from profiler.money.prices import RateCard, Rates, Tariff, cost
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from profiler.fleet.broker.messages import Lease

CARD = RateCard(
    model="m", priced_as="m", source="test", day=None, standard=Tariff(base=Rates(input=10**6, output=5 * 10**6))
)
[REQUEST] = Planner(PARAMS).plan(iter([dialogue(0)]))
CALL = Budget(CARD).worst(REQUEST)
WORKERS, SLOTS = 3, 3
STEP_S = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 7.0)


class Call(NamedTuple):
    folder: str
    hold: int
    price: int
    usage: dict[str, int]


class Folder:
    """The journal and the ledger of a candidate."""

    def __init__(self) -> None:
        self.spent = 0
        self.open: list[int] = []

    @property
    def told(self) -> int:
        return self.spent + sum(self.open)


class Worker:
    """A process. It is not told that it is taken for dead, and goes on."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.cap = LeasedCap(lambda: None)
        self.seq = 0
        self.waiting: tuple[Renewal, float] | None = None  # the message that has no answer yet, and when it was written
        self.budgets: dict[str, Budget] = {}
        self.calls: list[Call] = []

    def message(self) -> Renewal:
        if self.waiting is None:
            self.seq += 1
            message = Renewal(who=self.who, seq=self.seq, money=self.cap.use(slots=SLOTS))
            self.waiting = message, time.monotonic()
        return self.waiting[0]

    def hear(self, lease: Lease) -> None:
        if self.waiting is None or lease.seq != self.waiting[0].seq:
            return
        (message, written_at), self.waiting = self.waiting, None
        if lease.lost:
            self.who, self.seq = f"{self.who}+", 0
            self.cap.lose()
        else:
            assert lease.money is not None
            assert message.money is not None
            ends_at = written_at + lease.expires_s
            self.cap.lend(lease.money, told=message.money, may_come=lease.money_may_come, ends_at=ends_at)


class MoneyStorm:
    """`readable` says how likely it is that what a folder tells can be read; nobody is silent for more than `silent_s`."""

    def __init__(
        self, root: Path, *, seed: int, cap: int, readable: float, silent_s: float, patched: pytest.MonkeyPatch
    ) -> None:
        self.random = random.Random(seed)
        self.card = CARD
        self.cap_of_all = cap
        self.bill = 0  # the provider's
        self.now = 1_000.0
        self.root = root
        self.readable = readable
        self.steps_s = [each for each in STEP_S if each <= silent_s]
        self.folders: dict[str, Folder] = {}
        self.messages: list[Renewal] = []
        self.answers: list[tuple[Worker, Lease]] = []
        self.dead: list[Worker] = []
        self.names = 0
        patched.setattr(time, "monotonic", lambda: self.now)
        self.desk = self.new_desk(gone=0)
        self.workers = [self.new_worker() for _ in range(WORKERS)]

    # --- who takes part -----------------------------------------------------------------------------------------

    def new_desk(self, *, gone: int) -> Desk:
        settings = BrokerSettings(workers=WORKERS, concurrency=99, cap=self.cap_of_all, gone=gone, answered_before=True)
        return Desk(settings, folder=self.root, money_of=self.money_of)

    def new_worker(self) -> Worker:
        self.names += 1
        return Worker(f"w{self.names}")

    def money_of(self, path: Path) -> int | None:
        return self.folders[path.name].told if self.random.random() < self.readable else None

    # --- what happens -------------------------------------------------------------------------------------------

    def step(self) -> None:
        likely: dict[Callable[[], None], float] = {
            self.a_call_leaves: 30,
            self.a_call_ends: 15,
            self.a_message_is_sent: 12,
            self.a_message_arrives: 14,
            self.an_answer_arrives: 14,
            self.a_folder_is_begun: 3,
            self.time_passes: 3,
            self.a_folder_is_left: 1,
            self.a_worker_is_killed: 0.5,
            self.the_broker_is_killed: 0.7,
        }
        self.random.choices([*likely], [*likely.values()])[0]()
        assert self.bill <= self.cap_of_all

    def time_passes(self) -> None:
        self.now += self.random.choice(self.steps_s)
        if self.random.random() < 0.7:
            self.desk.give_up_the_overdue()

    def a_folder_is_begun(self) -> None:
        worker = self.random.choice(self.workers)
        if len(worker.budgets) < 2:
            name = f"{len(self.folders)}.0"
            (self.root / name).mkdir()
            self.folders[name] = Folder()
            worker.budgets[name] = Budget(self.card, within=worker.cap)
            worker.cap.begin(name, worker.budgets[name])

    def a_folder_is_left(self) -> None:
        """The range is answered. Sometimes its folder goes, as it does when all is put together."""
        worker = self.random.choice(self.workers)
        name = next((each for each in worker.budgets if all(call.folder != each for call in worker.calls)), None)
        if name is not None:
            worker.cap.end(name)
            del worker.budgets[name]
            if self.random.random() > self.readable:
                shutil.rmtree(self.root / name)

    def a_call_leaves(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.budgets:
            name = self.random.choice(sorted(worker.budgets))
            if (hold := worker.budgets[name].reserve(REQUEST)) is not None:
                usage = {
                    "input_tokens": 1,
                    "output_tokens": self.random.choice([1, PARAMS.max_tokens, PARAMS.max_tokens]),
                }
                price = cost(self.card, usage)
                assert price is not None
                assert price <= hold
                self.folders[name].open.append(hold)
                self.bill += price
                worker.calls.append(Call(name, hold, price, usage))

    def a_call_ends(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.calls:
            call = worker.calls.pop(self.random.randrange(len(worker.calls)))
            budget, folder = worker.budgets[call.folder], self.folders[call.folder]
            folder.open.remove(call.hold)
            if self.random.random() < 0.2:  # no answer came
                budget.keep(call.hold)
                folder.spent += call.hold
            else:
                budget.settle(call.hold, call.usage)
                folder.spent += call.price

    def a_message_is_sent(self) -> None:
        message = self.random.choice(self.workers).message()
        self.messages += [message] * self.random.choice([0, 1, 1, 1, 2])

    def a_message_arrives(self) -> None:
        if self.messages:
            place = self.random.randrange(len(self.messages)) if self.random.random() < 0.3 else 0
            message = self.messages[place] if self.random.random() < 0.2 else self.messages.pop(place)
            lease = self.desk.answer(Envelope(renewal=message))
            worker = next((each for each in self.workers if each.who == message.who), None)
            if worker is not None:
                self.answers.append((worker, lease))
            if self.random.random() < 0.02:
                self.the_broker_is_killed()

    def an_answer_arrives(self) -> None:
        if self.answers:
            worker, lease = self.answers.pop(self.random.randrange(len(self.answers)))
            if self.random.random() < 0.9:
                worker.hear(lease)

    def a_worker_is_killed(self) -> None:
        """The provider has its calls, and somebody may have seen it."""
        worker = self.workers.pop(self.random.randrange(WORKERS))
        self.dead.append(worker)
        self.answers = [each for each in self.answers if each[0] is not worker]
        if self.random.random() < 0.5:
            self.desk.answer(Envelope(gone=Gone(who=worker.who)))
        self.workers.append(self.new_worker())

    def the_broker_is_killed(self) -> None:
        """The last line may be torn: then nobody has heard the answer to it. A new command knows what the folders tell."""
        self.desk.close()
        path = self.root / NAME
        content = path.read_bytes()
        if self.random.random() < 0.3 and self._nobody_heard(content):
            path.write_bytes(content[: -self.random.randint(1, 5)])
        self.desk = self.new_desk(gone=self.told if self.random.random() < 0.5 else 0)
        if self.random.random() < 0.5:
            self.desk.give_up_the_overdue()

    def _nobody_heard(self, content: bytes) -> bool:
        """Whether the worker that the last line is about still waits for the answer; then it will not come."""
        line = msgspec.json.decode(content.splitlines()[-1])
        worker = next((each for each in self.workers if each.who == line.get("who")), None)
        if worker is None or worker.waiting is None or worker.waiting[0].seq != line.get("seq"):
            return False
        self.answers = [(who, lease) for who, lease in self.answers if who is not worker]
        return True

    # --- the end ------------------------------------------------------------------------------------------------

    @property
    def told(self) -> int:
        """What all folders tell."""
        return sum(each.told for each in self.folders.values())

    def talk(self) -> None:
        """Every worker renews, and nothing is lost."""
        self.messages, self.answers = [], []
        for worker in self.workers:
            worker.hear(self.desk.answer(Envelope(renewal=worker.message())))

    def written_off(self) -> int:
        """What cannot be lent any more when everybody is dead, and the broker has found it out."""
        self.now += 60
        self.desk.give_up_the_overdue()
        purse = self.desk.purse
        assert purse is not None
        assert not purse.accounts
        return self.cap_of_all - purse.free
