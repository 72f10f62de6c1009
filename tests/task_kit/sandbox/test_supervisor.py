"""Who is taken for somebody that stays, told without a real box."""

from __future__ import annotations

import time
from typing import Any

import pytest

from task_kit.sandbox import supervisor

SLEEPS = [b"S", *[b"0"] * 40]


class Leaving:
    """A box in which somebody sleeps, and is gone after so many looks."""

    def __init__(self, *, looks: int) -> None:
        self.looks = looks

    def alone(self, seconds: float) -> bool:
        self.looks -= 1
        return self.looks < 0

    def processes(self) -> dict[int, list[bytes]]:
        return {2: SLEEPS}


class Calm:
    deadline = time.monotonic() + 3600

    def passed(self) -> str | None:
        return None


@pytest.mark.parametrize(("looks", "stays"), [(0, False), (1, False), (2, True)])
def test_who_sleeps_is_looked_at_twice_before_it_counts_as_staying(looks: int, stays: bool) -> None:
    box: Any = Leaving(looks=looks)
    watch: Any = Calm()

    assert supervisor.left_over(box, watch) is stays
