"""A broker as the workers of one command know it, whoever has started it."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod

from profiler.fleet.broker.process import tell_gone
from profiler.fleet.messages import Lender


class ReachedBroker:
    """Where it is reached, and what the workers are called there: their names end with `session`, since worker 0 of an earlier
    experiment or command is another one."""

    def __init__(self, url: str, *, token: str, capped: bool, session: str | None = None) -> None:
        self._url = url
        self._token = token
        self._capped = capped
        self._session = session or secrets.token_hex(4)

    def lender(self, worker: int) -> Lender:
        """How the worker of this number reaches the broker."""
        return Lender(url=self._url, token=self._token, who=self._name_of(worker), capped=self._capped)

    async def forget(self, worker: int) -> None:
        """This worker is no more: what it was lent is free again, but for what it has spent."""
        await tell_gone(self._url, self._name_of(worker), token=self._token)

    def _name_of(self, worker: int) -> str:
        return f"{worker}-{self._session}"


class OwnBroker(ReachedBroker, ABC):
    """One that the command has started itself, replaces when it dies, and ends."""

    @abstractmethod
    async def keep(self) -> None:
        """Watch the broker, and replace it when it dies. Runs until it is cancelled."""

    @abstractmethod
    async def close(self) -> None: ...
