from __future__ import annotations

import pytest

from profiler.engine.job import micro


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 0.0), (0.1234564, 0.123456), (0.1234567, 0.123457), (86_400.0000004, 86_400.0)]
)
def test_times_are_rounded_to_whole_microseconds(seconds: float, expected: float) -> None:
    assert micro(seconds) == expected
