"""Several workers with one broker in one process, on a clock that jumps: each has a link and a pool of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool
from profiler.engine.slots import Slots
from profiler.fleet.broker.broker import Broker
from profiler.fleet.broker.link import Link
from profiler.fleet.broker.settings import BrokerSettings, EvenShare
from profiler.manifest.settings import Retry
from profiler.provider.validate import Checked
from tests.profiler.engine.limits.provider import Records, ask_for, planner

if TYPE_CHECKING:
    from profiler.fleet.broker.messages import Lease, Renewal
    from profiler.manifest.settings import RateLimits
    from profiler.provider.client import Client

ROOT = Path("/run")
ON_THE_WAY_S = 0.002


class Fleet:
    def __init__(
        self,
        *,
        workers: int = 8,
        concurrency: int = 200,
        limits: RateLimits | None = None,
        deadline_s: float = 600,
        alone: EvenShare | None = None,
    ) -> None:
        self._settings = BrokerSettings(
            workers=workers, concurrency=concurrency, rate_limits=limits, longest_pause_s=deadline_s
        )
        self.broker = Broker(self._settings, now=time.monotonic())
        self.told: list[str] = []
        self._alone = alone
        self.records = Records()
        self.reachable = True
        self.messages = 0
        self._workers = workers
        self._concurrency = concurrency
        self._deadline_s = deadline_s

    def replace_broker(self) -> None:
        """By one that knows nothing of what was lent."""
        self.broker = Broker(self._settings, now=time.monotonic())
        self.reachable = True

    async def ask_for(self, client: Client, seconds: float, *, max_tokens: int = 1024) -> None:
        async with anyio.create_task_group() as group:
            for number in range(self._workers):
                group.start_soon(self._work, client, f"w{number}", seconds, max_tokens)

    async def _work(self, client: Client, who: str, seconds: float, max_tokens: int) -> None:
        link = Link(self._deliver, who=who, root=ROOT, capped=False, alone=self._alone, tell=self.told.append)
        pool = self._pool(client, link, max_tokens)
        async with anyio.create_task_group() as group:
            group.start_soon(link.renew_all_the_time)
            group.start_soon(link.look_for_room)
            with link.asking(pool, folder=ROOT / who, budget=None):
                await ask_for(pool, seconds, max_tokens=max_tokens)
            group.cancel_scope.cancel()

    def _pool(self, client: Client, link: Link, max_tokens: int) -> Pool:
        slots = Slots(self._concurrency)
        machine = AttemptMachine(
            retry=Retry(deadline_s=self._deadline_s),
            timeout_s=600,
            planner=planner(max_tokens),
            limits=link.limits_of(slots, longest_pause_s=self._deadline_s),
        )
        return Pool(client=Checked(client), writer=self.records, slots=slots, machine=machine)  # type: ignore[arg-type]

    async def _deliver(self, message: Renewal) -> Lease | None:
        await anyio.sleep(ON_THE_WAY_S)
        if not self.reachable:
            return None
        self.messages += 1
        lease = self.broker.renew(message, now=time.monotonic())
        for who in self.broker.overdue(time.monotonic()):
            self.broker.end(who, billed=None, dead=False)
        await anyio.sleep(ON_THE_WAY_S)
        return lease
