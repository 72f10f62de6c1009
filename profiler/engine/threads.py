"""Runs in a thread what would hold up the event loop that all calls share: syncing a disk, counting logs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable

Words = ParamSpec("Words")
Value = TypeVar("Value")


async def in_thread(work: Callable[Words, Value], *args: Words.args, **words: Words.kwargs) -> Value:
    """Do the work in a thread and return its result. A caller that is cancelled still waits for the end of the thread, because
    it may write into a folder that the caller holds."""
    return await anyio.to_thread.run_sync(partial(work, *args, **words))
