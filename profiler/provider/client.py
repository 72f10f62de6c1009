"""What every client must be able to do: answer one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from profiler.core.nouns import Reply, Request


class Client(Protocol):
    async def complete(self, request: Request) -> Reply:
        """Answer one request, or raise `profiler.core.errors.CallError` when the provider does not.

        Any other exception is a bug in the client: it ends the run, with everything answered kept.
        """
        ...
