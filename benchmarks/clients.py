"""Clients that watch the run they are called by, or end it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from profiler.clients import MockClient

if TYPE_CHECKING:
    from profiler.clients import Client
    from profiler.model import Reply, Request
    from profiler.settings import Experiment

DIE_AT = "BENCHMARK_DIE_AT"
MARK = "BENCHMARK_MARK"


class Watched:
    """Passes calls on and notes when the first began and when the last reply came, dialogue 0 left out.

    With `stall`, dialogue 0 has no reply before all others have theirs: it is stalled for the whole run, and not
    a moment longer.
    """

    def __init__(self, client: Client, *, count: int, stall: bool = False) -> None:
        self.began = 0.0
        self.ended = 0.0
        self._client = client
        self._owed = count - 1
        self._stall = stall
        self._others_done = anyio.Event()

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    async def complete(self, request: Request) -> Reply:
        if not self.began:
            self.began = time.perf_counter()
        if request.index == 0:
            if self._stall:
                await self._others_done.wait()
            return await self._client.complete(request)
        reply = await self._client.complete(request)
        self._owed -= 1
        if not self._owed:
            self.ended = time.perf_counter()
            self._others_done.set()
        return reply


class Dying:
    """Writes down when call number `DIE_AT` begins, and kills the process there."""

    def __init__(self, client: Client, *, calls: int, mark: Path) -> None:
        self._client = client
        self._left = calls
        self._mark = mark

    async def complete(self, request: Request) -> Reply:
        self._left -= 1
        if not self._left:
            self._mark.write_text(repr(time.monotonic()), encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._client.complete(request)


def dying(experiment: Experiment) -> Client:
    """For the `client` of a manifest; what it needs to know is in the environment, where it changes no identity."""
    return Dying(MockClient(experiment.mock), calls=int(os.environ[DIE_AT]), mark=Path(os.environ[MARK]))
