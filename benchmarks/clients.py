"""Clients that watch the run that calls them, or kill it."""

from __future__ import annotations

import os
import signal
import time
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from profiler.core.errors import CallError
from profiler.provider.mock import MockClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Reply, Request
    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client

DIE_AT = "BENCHMARK_DIE_AT"
MARK = "BENCHMARK_MARK"


class Watched:
    """Passes calls on, and notes when the first one began and the last reply came, without dialogue 0.

    With `stall`, dialogue 0 gets no reply before all others have theirs: it is stalled for the whole run, and not a
    moment longer.
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


class OpenFiles:
    """Passes calls on, and looks now and then at how many files the process has open."""

    EVERY = 500

    def __init__(self, client: Client) -> None:
        self.most = 0
        self._client = client
        self._replies = 0
        self._began = 0.0
        self._last = 0.0

    @property
    def seconds(self) -> float:
        return self._last - self._began

    async def complete(self, request: Request) -> Reply:
        if not self._began:
            self._began = time.perf_counter()
        reply = await self._client.complete(request)
        self._last = time.perf_counter()
        if self._replies % self.EVERY == 0:
            self.most = max(self.most, len(os.listdir("/proc/self/fd")))  # noqa: PTH208 (a list in one call)
        self._replies += 1
        return reply


class Paced:
    """Passes calls on, and notes when each began, and when the provider asked for a pause of what length."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._begun: list[float] = []
        self._asked: list[tuple[float, float]] = []

    @property
    def longest_by_asked(self) -> float:
        """The longest pause, as a multiple of what was asked for: 1.0 is exactly as long.

        0.0 when none was asked for.
        """
        return max((self._pause(since) / asked for since, asked in self._asked), default=0.0)

    def _pause(self, since: float) -> float:
        """Seconds until the next call of any worker."""
        place = bisect_right(self._begun, since)
        return self._begun[place] - since if place < len(self._begun) else 0.0

    async def complete(self, request: Request) -> Reply:
        self._begun.append(self._clock())
        try:
            return await self._client.complete(request)
        except CallError as error:
            if error.retry_after_s:
                self._asked.append((self._clock(), error.retry_after_s))
            raise


class Dying:
    """Kills the process when call number `calls` begins, and writes down the time."""

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
    """For `client` in a manifest. Its settings are in the environment, where they do not change the run's identity."""
    return Dying(MockClient(experiment.mock), calls=int(os.environ[DIE_AT]), mark=Path(os.environ[MARK]))
