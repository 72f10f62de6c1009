"""What the coordinator asks of whoever runs its workers: processes of this machine, or tasks of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from profiler.fleet.messages import Command, Report


class Lost(NamedTuple):
    """A worker that is no more: how it ended, and the last lines of its log."""

    how: str
    log: str = ""


class Driver(Protocol):
    """Workers have numbers, and none is used twice."""

    def start(self, worker: int) -> None:
        """Start a worker; its job is the first command that it is told."""

    async def poll(self) -> tuple[int, Report | Lost]:
        """The next thing that any worker says. `Lost` is the last of each."""

    def tell(self, worker: int, command: Command) -> None:
        """Pass a command on. Nothing happens where the worker is gone: `poll` tells that."""

    def stop(self, worker: int) -> None:
        """End a worker at once, whatever it does."""
