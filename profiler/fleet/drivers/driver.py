"""What a coordinator asks of whoever runs its workers: processes of this machine, or tasks of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from profiler.fleet.messages import Command, Report

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.fleet.broker.settings import BrokerSettings
    from profiler.fleet.drivers.reached_broker import OwnBroker

Told_contra = TypeVar("Told_contra", contravariant=True)
Heard_co = TypeVar("Heard_co", covariant=True)


class Lost(NamedTuple):
    """A worker that is no more: how it ended, and the last lines of its log. `certain`: somebody saw it end, so it will never
    spend anything again."""

    how: str
    log: str = ""
    certain: bool = True


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

    async def broker(self, folder: Path, settings: BrokerSettings) -> OwnBroker:
        """Start one that shares out what the workers have in common, where all of them reach it. What it must not forget it keeps in the folder."""
