"""The clients of a run: experiments that ask the same address with the same key share one, and so its connections.

A client is opened when the first of them asks, and closed when none of them is left that asks or will.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

import anyio

from profiler.provider.open import open_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Sequence
    from contextlib import AbstractAsyncContextManager

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client


class _Shared:
    """One client, and how many experiments use it now."""

    def __init__(self, client: Client, *, closing: AsyncExitStack) -> None:
        self.client = client
        self.closing = closing
        self.users = 0


class Clients:
    """One for each address that is asked. The key is that of the environment. The mock costs nothing, and is not shared."""

    def __init__(self, experiments: Sequence[Experiment], *, options: Options) -> None:
        self._options = options
        self._live = options.resolved_mode == "live"
        self._to_begin: Counter[Hashable] = Counter(map(_about, experiments) if self._live else ())
        # of several addresses none keeps idle connections for later: together they could be more than files may be open
        self._one_address = len(self._to_begin) == 1
        self._open: dict[Hashable, _Shared] = {}
        self._opening = anyio.Lock()

    def begins(self, experiment: Experiment) -> None:
        """This experiment has begun, so its client need not be kept open for it any longer than it asks."""
        if self._live:
            self._to_begin[_about(experiment)] -= 1

    @asynccontextmanager
    async def of(self, experiment: Experiment) -> AsyncIterator[Client]:
        if not self._live:
            async with self._opened(experiment) as client:
                yield client
            return
        about = _about(experiment)
        async with self._opening:
            shared = self._open.get(about)
            if shared is None:
                closing = AsyncExitStack()
                client = await closing.enter_async_context(self._opened(experiment))
                shared = self._open[about] = _Shared(client, closing=closing)
            shared.users += 1
        try:
            yield shared.client
        finally:
            shared.users -= 1
            if not shared.users and not (self._to_begin[about] and self._one_address):
                del self._open[about]
                await shared.closing.aclose()

    def _opened(self, experiment: Experiment) -> AbstractAsyncContextManager[Client]:
        options = self._options
        return open_client(experiment, mode=options.resolved_mode, lane=options.lane, environ=os.environ)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the clients that were kept open for experiments that never began."""
        while self._open:
            await self._open.popitem()[1].closing.aclose()


def _about(experiment: Experiment) -> Hashable:
    """The settings that decide which client an experiment needs."""
    return experiment.provider, experiment.base_url, experiment.timeout_s, experiment.stream
