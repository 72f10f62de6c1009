"""What runs on the nodes of a Ray cluster: workers as tasks, and two actors beside the cluster's head: the broker, and the
post, which carries what coordinator and workers say to each other.

What answers ranges is a task itself. Any other program is a process that a task starts and speaks for: it has no part of Ray
in it, neither its environment nor its connections.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from profiler.fleet.broker.desk import Desk, look_for_the_lost
from profiler.fleet.broker.messages import decode_envelope, decode_lease, in_envelope
from profiler.fleet.broker.settings import BrokerSettings
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.drivers.process_driver import processes_of
from profiler.fleet.messages import Job, as_line, command_of
from profiler.fleet.program import speaks_lines
from profiler.fleet.workers.range_worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from profiler.fleet.broker.messages import Lease, Renewal
    from profiler.fleet.drivers.process_driver import ProcessDriver
    from profiler.fleet.messages import Command

ANSWER_WITHIN_S = 2.0
RELAY_PATIENCE_S = 15.0  # the coordinator has 20 for the task, and would end that alone
AT_ONCE = 1_000

Said = tuple[int, bytes | Lost]  # a worker, and its report or how it ended


class Post:
    """An actor. Nothing is kept: when it dies, the run stops and can be resumed."""

    def __init__(self) -> None:
        self._said = anyio.create_memory_object_stream[Said](math.inf)
        self._told: dict[int, tuple[MemoryObjectSendStream[bytes], MemoryObjectReceiveStream[bytes]]] = {}

    async def say(self, worker: int, reports: list[bytes], ended: Lost | None = None) -> None:
        """Pass on what a worker reports. That it has `ended` is said by the coordinator's side, after its last report."""
        for report in reports:
            self._said[0].send_nowait((worker, report))
        if ended is not None:
            self._said[0].send_nowait((worker, ended))

    async def poll(self) -> list[Said]:
        return await all_there_is(self._said[1])

    async def tell(self, worker: int, commands: list[bytes]) -> None:
        for command in commands:
            self._commands_of(worker)[0].send_nowait(command)

    async def hear(self, worker: int) -> list[bytes]:
        return await all_there_is(self._commands_of(worker)[1])

    def close(self) -> None:
        for say, said in self._told.values():
            say.close()
            said.close()
        self._said[0].close()
        self._said[1].close()

    def _commands_of(self, worker: int) -> tuple[MemoryObjectSendStream[bytes], MemoryObjectReceiveStream[bytes]]:
        if worker not in self._told:
            self._told[worker] = anyio.create_memory_object_stream[bytes](math.inf)
        return self._told[worker]


async def all_there_is(stream: MemoryObjectReceiveStream[Any]) -> list[Any]:
    """Wait for a message, and return it with all others that have come."""
    found = [await stream.receive()]
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while len(found) < AT_ONCE:
            found.append(stream.receive_nowait())
    return found


class RayBroker:
    """An actor that is started again when it dies, and finds in the run's folder what it has lent."""

    def __init__(self, folder: str, settings: bytes) -> None:
        self._desk = Desk(msgspec.json.decode(settings, type=BrokerSettings), folder=Path(folder))

    async def look(self) -> None:
        await look_for_the_lost(lambda: self._desk)

    async def ask(self, envelope: bytes) -> bytes:
        return msgspec.json.encode(self._desk.answer(decode_envelope(envelope)))


def work(worker: int, post: Any, *, folder: str) -> None:
    """The task that answers ranges. Relative paths mean what they mean to the coordinator, where its folder is there."""
    with suppress(OSError):
        os.chdir(folder)
        sys.path.insert(0, folder)
    anyio.run(_work, worker, post)


def relay(worker: int, post: Any, *, module: str) -> Lost:
    """The task that runs another program, and returns how that has ended."""
    return anyio.run(relayed, worker, post, module)


async def relayed(worker: int, post: Any, module: str, *, patience_s: float = RELAY_PATIENCE_S) -> Lost:
    """A program that has begun and says nothing for so long is ended here, with all that it has started: whoever gives this
    task up from afar would leave it behind."""

    async def pass_commands_on(driver: ProcessDriver[bytes, bytes]) -> None:
        while True:
            for line in await post.hear.remote(worker):
                driver.tell(worker, line)

    ended = Lost("ended")
    with tempfile.TemporaryDirectory(prefix="worker-", ignore_cleanup_errors=True) as logs:
        program, environ = speaks_lines(module), without_ray(os.environ)
        async with processes_of(program, Path(logs), environ=environ) as driver, anyio.create_task_group() as tasks:
            driver.start(worker)
            tasks.start_soon(pass_commands_on, driver)
            silence = ""
            wait_s = math.inf
            while True:
                said: bytes | Lost | None = None
                with anyio.move_on_after(wait_s):
                    _, said = await driver.poll()
                if said is None:
                    silence, wait_s = f"has said nothing for {patience_s:g} s and ", math.inf
                    driver.stop(worker)
                elif isinstance(said, Lost):
                    ended = said._replace(how=f"{silence}{said.how}")
                    tasks.cancel_scope.cancel()
                    break
                else:
                    wait_s = math.inf if silence else patience_s
                    await post.say.remote(worker, [said])
    return ended


def without_ray(environ: Mapping[str, str]) -> dict[str, str]:
    """What Ray tells its tasks, tokens and addresses among it, is nobody else's business."""
    return {name: value for name, value in environ.items() if not name.startswith("RAY_")}


async def _work(worker: int, post: Any) -> None:
    heard = _commands(worker, post)
    job = await anext(heard)
    assert isinstance(job, Job)  # noqa: S101 (our own coordinator says it first)
    ask = None if job.broker is None else Broker(job.broker.url).ask
    say, said = anyio.create_memory_object_stream[bytes](math.inf)

    async def carry() -> None:
        """One message after the other, so that reports arrive in their order."""
        with said:
            while True:
                try:
                    await post.say.remote(worker, await all_there_is(said))
                except anyio.EndOfStream:
                    return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry)
        with say:
            await Worker(job, send=lambda report: say.send_nowait(as_line(report)), ask=ask).run(heard)


async def _commands(worker: int, post: Any) -> AsyncIterator[Command]:
    while True:
        for line in await post.hear.remote(worker):
            yield command_of(line)


class Broker:
    """The broker as a worker reaches it. Whatever is wrong with the actor, it is no lease yet."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._actor: Any = None

    async def ask(self, message: Renewal) -> Lease | None:
        import ray  # noqa: PLC0415
        from ray.exceptions import RayError  # noqa: PLC0415

        try:
            with anyio.fail_after(ANSWER_WITHIN_S):
                if self._actor is None:
                    self._actor = ray.get_actor(self._name)
                return decode_lease(await self._actor.ask.remote(msgspec.json.encode(in_envelope(message))))
        except (RayError, TimeoutError, ValueError):  # ValueError: there is no actor of this name now
            self._actor = None
            return None
