from __future__ import annotations

from typing import Any

import pytest

from profiler.engine.limits.bottleneck import phrase


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "64 calls at once"),
        ({"slots": 1}, "1 call at once"),
        ({"waited_s": {"output_tokens": 60.0, "requests": 3.0}}, "output tokens 92 %"),
        ({"waited_s": {"retry_after": 14.4, "output_tokens": 12.0}}, "retry-after 14 s"),
        ({"waited_s": {"cool_down": 20.0}}, "cool down 20 s"),
        ({"waited_s": {"output_tokens": 9.0}}, "64 calls at once"),
        ({"ended": [0.0] * 50 + [29.0, 30.0, 31.0]}, "3 stragglers"),
        ({"ended": [0.0] * 63 + [31.0]}, "1 straggler"),
        ({"ended": [0.0] * 63 + [9.0]}, "64 calls at once"),
        ({"ended": [30.0] * 64}, "64 calls at once"),
        ({"ended": [0.0] * 63 + [31.0], "waited_s": {"requests": 32.0}}, "requests 71 %"),
    ],
)
def test_the_phrase_names_what_took_most_of_the_time(told: dict[str, Any], words: str) -> None:
    usual: dict[str, Any] = {
        "elapsed_s": 100.0,
        "waited_s": {},
        "in_use": {"output_tokens": 0.924, "requests": 0.71},
        "slots": 64,
        "ended": [0.0] * 64,
    }
    assert phrase(**(usual | told)) == words
