"""A worker for what leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.worker import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.leakage_modeling.worker.worker import Worker
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote


@pytest.fixture(scope="module")
def shared(nursery: Zygote, world: World) -> Iterator[Worker]:
    """For what leaves nothing behind."""
    worker = Workers(nursery, limits=CallLimits(run_s=20)).start(world)
    yield worker
    worker.close()
