"""Shared by the tests of the second task: one warm process for the session, and a world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.worker import Workers
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import make_world
from tests.nurseries import shared_nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.leakage_modeling.worker.worker import Worker
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote


@pytest.fixture(scope="session")
def nursery() -> Zygote:
    return shared_nursery()


@pytest.fixture(scope="session")
def world() -> World:
    return make_world(7, Settings(difficulty=0))


@pytest.fixture
def worker(nursery: Zygote, world: World) -> Iterator[Worker]:
    """With short limits, so that what hangs is over soon."""
    worker = Workers(nursery, limits=CallLimits(run_s=0.5, fit_s=5.0, restarts=2)).start(world)
    yield worker
    worker.close()
