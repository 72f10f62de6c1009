"""What a coordinator asks of whoever runs its workers: processes of this machine, or tasks of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from profiler.fleet.messages import Command, Report

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.fleet.broker.settings import BrokerSettings
    from profiler.fleet.messages import Lender

Told_contra = TypeVar("Told_contra", contravariant=True)
Heard_co = TypeVar("Heard_co", covariant=True)


class Lost(NamedTuple):
    """A worker that is no more: how it ended, and the last lines of its log. `certain`: somebody saw it end, so it will never
    spend anything again."""

    how: str
    log: str = ""
    certain: bool = True


class Broker(Protocol):
    """Shares out among the workers what they have in common; it is replaced when it dies."""

    def lender(self, worker: int) -> Lender:
        """How the worker of this number reaches the broker."""

    async def keep(self) -> None:
        """Watch the broker, and replace it when it dies. Runs until it is cancelled."""

    async def forget(self, worker: int) -> None:
        """This worker is no more: what it was lent is free again, but for what it has spent."""

    async def close(self) -> None: ...


class Workers(Protocol[Told_contra, Heard_co]):
    """Workers of any program. They have numbers, and none is used twice. One that says nothing for `patience_s` counts as
    lost."""

    patience_s: float

    def start(self, worker: int) -> None:
        """Start a worker; what it is to do it hears as commands."""

    async def poll(self) -> tuple[int, Heard_co | Lost]:
        """Wait for the next report of any worker. The last one of each worker is `Lost`."""

    def tell(self, worker: int, command: Told_contra) -> None:
        """Pass a command on. Nothing happens where the worker is gone: `poll` tells that."""

    def stop(self, worker: int) -> None:
        """End a worker, whatever it does, if it can be reached."""


class Driver(Workers[Command, Report], Protocol):
    """Workers that answer the ranges of a run, and what these share."""

    on_this_machine: bool  # all of them, and so they will be gone when it has been started again

    async def broker(self, folder: Path, settings: BrokerSettings) -> Broker:
        """Start one where all workers reach it. What it must not forget it keeps in the folder."""
