"""Makes Python's garbage collector look for cycles less often while a run goes on.

It would find nothing: what is made for a dialogue is freed with its last reference.

The thresholds belong to the whole process, and several runs may be under way in it. So the first run of a process
raises them and the last one puts back what it found.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

YOUNG_OBJECTS = 50_000  # before anybody looks; Python's own 700 would be reached many times with 1,000 calls in flight


class _Runs:
    """How many runs of this process are under way, and what the thresholds were before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # runs may have threads of their own
        self.count = 0
        self.before = gc.get_threshold()


_runs = _Runs()


@contextmanager
def made_rare() -> Iterator[None]:
    """Collect rarely until this run, and any other that began meanwhile, has ended."""
    with _runs.lock:
        if not _runs.count:
            _runs.before = gc.get_threshold()
            young, *older = _runs.before  # young is 0 where somebody wants no collection at all
            gc.set_threshold(max(young, YOUNG_OBJECTS) if young else 0, *older)
        _runs.count += 1
    try:
        yield
    finally:
        with _runs.lock:
            _runs.count -= 1
            if not _runs.count:
                gc.set_threshold(*_runs.before)
