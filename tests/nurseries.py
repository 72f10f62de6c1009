"""One warm process that all tests of workers share, because starting it takes a second."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

from task_kit.leakage_modeling.worker.nursery import open_nursery

if TYPE_CHECKING:
    from task_kit.sandbox import Zygote


@cache
def shared_nursery() -> Zygote:
    nursery = open_nursery()
    atexit.register(nursery.close)
    return nursery
