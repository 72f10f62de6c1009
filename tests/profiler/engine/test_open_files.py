from __future__ import annotations

import math
import resource
from typing import TYPE_CHECKING

import pytest

from profiler.engine.open_files import SPARE, bounded, make_room

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def low_soft_limit() -> Iterator[int]:
    """The hard limit, while the soft one is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_is_raised_as_far_as_the_calls_need(low_soft_limit: int) -> None:
    assert make_room(500) == (500, None)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 500 + SPARE < soft < 1000
    assert hard == low_soft_limit


def test_a_limit_that_is_high_enough_stays_as_it_is(low_soft_limit: int) -> None:
    assert make_room(50) == (50, None)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256


def test_where_the_hard_limit_is_too_low_calls_are_bounded_by_it_and_that_is_said() -> None:
    concurrency, warning = bounded(5_000, limit=1_024, open_now=20)

    assert concurrency == 1_024 - 20 - SPARE
    assert warning is not None
    assert "allows this process 1,024 open files" in warning
    assert "940 calls run at once, not 5,000" in warning


def test_the_least_is_one_call() -> None:
    assert bounded(5, limit=40, open_now=39).concurrency == 1


def test_without_a_limit_nothing_is_bounded() -> None:
    assert bounded(100_000, limit=math.inf, open_now=1000) == (100_000, None)
