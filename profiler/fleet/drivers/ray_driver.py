"""Workers as tasks of a Ray cluster, whose nodes all see the folder of the run.

What a cluster loses goes to others by the coordinator's hand: Ray retries nothing. It notices a node that cannot be reached
after a minute only, so a worker that says nothing for long is given up before.
"""

from __future__ import annotations

import math
import os
import re
import secrets
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import anyio
import msgspec

from profiler.core.errors import ProfilerError, UsageError
from profiler.fleet.broker.messages import Gone, in_envelope
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.drivers.ray_parts import Post, RayBroker, relay, work
from profiler.fleet.drivers.reached_broker import OwnBroker
from profiler.fleet.messages import ANSWERS_RANGES, Command, Report
from profiler.fleet.program import Heard, Program, Told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from profiler.fleet.broker.settings import BrokerSettings

ON_THE_HEAD = {
    "node:__internal_head__": 0.001
}  # every head has one: what the run cannot do without is not lost with a node
LOOK_EVERY_S = 1.0
HOW_LONG = 300


HOW = {
    "NodeDiedError": "was lost with its node",
    "LocalRayletDiedError": "was lost with its node",
    "WorkerCrashedError": "died: its process was killed, or crashed",
    "OutOfMemoryError": "was ended, because its node had too little memory left",
    "TaskCancelledError": "was ended",
}


class RayDriver(Generic[Told, Heard]):
    on_this_machine = False
    patience_s = 20.0  # a worker that answers ranges reports four times a second

    def __init__(self, ray: Any, program: Program[Told, Heard], *, tasks: TaskGroup) -> None:
        self._ray = ray
        self._program = program
        self._tasks = tasks
        self._post = ray.remote(Post).options(num_cpus=0, resources=ON_THE_HEAD).remote()
        own = program is ANSWERS_RANGES
        self._task = ray.remote(work if own else relay).options(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
        self._given = {"folder": str(Path.cwd())} if own else {"module": program.module}
        self._running: dict[int, Any] = {}
        self._given_up: set[int] = set()
        self._say, self._said = anyio.create_memory_object_stream[tuple[int, Any]](math.inf)
        self._tell, self._told = anyio.create_memory_object_stream[tuple[int, bytes]](math.inf)
        self._failed: Exception | None = None
        for task in (self._carry_reports, self._carry_commands):
            tasks.start_soon(task)

    def start(self, worker: int) -> None:
        self._running[worker] = self._task.remote(worker, self._post, **self._given)
        self._tasks.start_soon(self._wait_for, worker)

    async def poll(self) -> tuple[int, Heard | Lost]:
        try:
            return await self._said.receive()
        except anyio.EndOfStream:
            raise ProfilerError(
                f"the Ray cluster has lost what this run needs: {self._failed}", hint="run the same command again"
            ) from self._failed

    def tell(self, worker: int, command: Told) -> None:
        self._tell.send_nowait((worker, self._program.line_of(command)))

    def stop(self, worker: int) -> None:
        if (task := self._running.get(worker)) is not None:
            self._ray.cancel(task, force=True)

    async def broker(self, folder: Path, settings: BrokerSettings) -> ActorBroker:
        return ActorBroker(self._ray, folder, settings)

    async def _wait_for(self, worker: int) -> None:
        """Say that a worker has ended, behind all that it has said itself."""
        from ray.exceptions import RayError  # noqa: PLC0415

        try:
            how = await self._running[worker] or Lost("ended")
        except RayError as error:
            how = Lost(
                how_lost(error), certain=False
            )  # the task of a node that Ray takes for dead may go on for a while
        del self._running[worker]
        with suppress(RayError):  # without the post there is nobody to tell
            await self._post.say.remote(worker, [], how)

    async def _carry_reports(self) -> None:
        from ray.exceptions import RayError  # noqa: PLC0415

        try:
            while True:
                for worker, said in await self._post.poll.remote():
                    ended = isinstance(said, Lost)
                    if worker not in self._given_up:
                        self._say.send_nowait((worker, said if ended else self._program.report_of(said)))
                    if ended:
                        self._given_up.add(worker)
        except RayError as error:
            self._failed = error
            self._say.close()

    async def _carry_commands(self) -> None:
        """One after the other, so that they arrive in their order."""
        from ray.exceptions import RayError  # noqa: PLC0415

        with suppress(RayError):
            async for worker, command in self._told:
                await self._post.tell.remote(worker, [command])

    def close(self) -> None:
        for worker in list(self._running):
            self.stop(worker)
        self._ray.kill(self._post)
        for end in (self._say, self._said, self._tell, self._told):
            end.close()


class ActorBroker(OwnBroker):
    """The broker as a named actor beside the head; Ray starts it again when it dies."""

    def __init__(self, ray: Any, folder: Path, settings: BrokerSettings) -> None:
        name = f"profiler-broker-{secrets.token_hex(8)}"
        super().__init__(name, token="", capped=settings.cap is not None)
        self._ray = ray
        self._actor = (
            ray.remote(RayBroker)
            .options(name=name, num_cpus=0, resources=ON_THE_HEAD, max_restarts=-1)
            .remote(str(folder.resolve()), msgspec.json.encode(settings))
        )

    async def keep(self) -> None:
        """Ray starts it again; that it looks for the lost it must be told anew."""
        from ray.exceptions import RayError  # noqa: PLC0415

        while True:
            with suppress(RayError):
                await self._actor.look.remote()
            await anyio.sleep(LOOK_EVERY_S)

    async def forget(self, worker: int) -> None:
        from ray.exceptions import RayError  # noqa: PLC0415

        with suppress(RayError):
            await self._actor.ask.remote(msgspec.json.encode(in_envelope(Gone(who=self._name_of(worker)))))

    async def close(self) -> None:
        self._ray.kill(self._actor)


def on_ray(address: str | None) -> Callable[[Path], AbstractAsyncContextManager[RayDriver[Command, Report]]]:
    """Runs workers on the cluster at this address, or on the one that Ray finds by itself."""

    def driver(_: Path) -> AbstractAsyncContextManager[RayDriver[Command, Report]]:
        return workers_on_ray(ANSWERS_RANGES, address)

    return driver


@asynccontextmanager
async def workers_on_ray(program: Program[Told, Heard], address: str | None) -> AsyncIterator[RayDriver[Told, Heard]]:
    """Workers of any program, each of which must say something within 20 seconds as long as it lives."""
    ray = _joined(address)
    try:
        async with anyio.create_task_group() as tasks:
            found = RayDriver(ray, program, tasks=tasks)
            try:
                yield found
            finally:
                tasks.cancel_scope.cancel()
                found.close()
    finally:
        ray.shutdown()


def how_lost(error: Exception) -> str:
    """In one sentence; what Ray says is a page."""
    words, kind = " ".join(str(error).split()), type(error).__name__
    how = HOW.get(kind, f"was lost: {kind}: {words.partition('. ')[0]}"[:HOW_LONG])
    address = re.search(r"Node IP: ([^\s,]+)", words)
    return f"{how}, {address[1]}" if address is not None and "node" in how else how


def _joined(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What Ray tells of lost nodes and processes, a page each, it prints on stdout, where our result stands.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(?s).*")
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("--on ray needs Ray", hint="pip install 'experiment-profiler[ray]'") from error
    try:
        ray.init(address=address, namespace="profiler", log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ProfilerError(f"found no Ray cluster at {address or 'this machine'}: {error}") from error
    return ray
