"""One world for all of these episodes, and a folder of its own for each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from grader.leakage_modeling.grading import episodes
from tests.grader.leakage_modeling.grading.masking.made_up import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def one_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "world_of", partial(episodes.world_of, 5))
    kept = episodes.world_of(SMALL)
    monkeypatch.setattr(episodes, "world_of", lambda seed, settings: kept)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(10**9))
