"""One warm process that all tests of workers share, because starting it takes a second."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING, Any

from task_kit.leakage_modeling.worker.nursery import open_nursery

if TYPE_CHECKING:
    from task_kit.sandbox import Zygote


@cache
def shared_nursery() -> Zygote:
    nursery = open_nursery()
    atexit.register(nursery.close)
    return nursery


class Borrowed:
    """The shared warm process, for code that opens one of its own and closes it in the end: it outlives who borrows it."""

    def __enter__(self) -> Zygote:
        return shared_nursery()

    def __exit__(self, *_: object) -> None:
        pass

    def spawn(self, **given: Any) -> Any:
        return shared_nursery().spawn(**given)

    def close(self) -> None:
        pass


def borrowed(*, level: object = None) -> Borrowed:
    """In place of `open_nursery`."""
    return Borrowed()
