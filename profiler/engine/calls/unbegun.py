"""The requests that no worker has begun, and how the workers fared once there were none left."""

from __future__ import annotations

import math
import time
from itertools import chain
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.core.nouns import Request


class Unbegun:
    """Hands out each request once. Nothing is left before `open`, after `close`, and after the last."""

    def __init__(self) -> None:
        self._requests: Iterator[Request] | None = None
        self._all_begun = math.inf
        self.count: float = math.inf  # how many are left; infinite where nobody has counted them
        self.over = anyio.Event()
        self.tail: list[float] = []  # for each worker, how long it was still busy after the last had begun

    @property
    def empty(self) -> bool:
        return self._requests is None

    def open(self, requests: Iterator[Request], *, count: float) -> None:
        self._requests, self.count = requests, count
        if not count:  # all is answered, and what lies behind the last is still looked at
            self._expect_the_end(requests)

    def close(self) -> None:
        self._requests = None
        self.over.set()

    def drop(self, count: int) -> None:
        """Leave out the last `count` requests."""
        self.count -= count
        if self._requests is not None and self.count <= 0:
            self._expect_the_end(self._requests)

    def next(self) -> Request | None:
        if self._requests is None:
            return None
        request = next(self._requests, None)
        self.count -= 1
        if request is None:
            self._all_are_begun()
        elif self.count <= 0:  # the last: what lies behind it is looked at right away
            self._expect_the_end(self._requests)
        return request

    def worker_ended(self) -> None:
        if self._requests is None:
            self.tail.append(max(0.0, time.monotonic() - self._all_begun))

    def _expect_the_end(self, requests: Iterator[Request]) -> None:
        more = next(requests, None)
        if more is None:
            self._all_are_begun()
        else:
            self._requests, self.count = chain([more], requests), math.inf

    def _all_are_begun(self) -> None:
        self.close()
        self._all_begun = time.monotonic()
