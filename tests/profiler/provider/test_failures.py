from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import LONGEST_RETRY_AFTER_S
from profiler.provider.failures import retry_after_s

NOW = 1795219200.0  # Sat, 21 Nov 2026 00:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "86400"}, LONGEST_RETRY_AFTER_S),
        ({"retry-after": "inf"}, LONGEST_RETRY_AFTER_S),
        ({"retry-after": "1e999"}, LONGEST_RETRY_AFTER_S),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:09 GMT"}, 9.0),
        ({"retry-after": "Fri, 20 Nov 2026 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2099 00:00:00 GMT"}, LONGEST_RETRY_AFTER_S),
        ({"retry-after": "Sat, 99 Nov 2026 00:00:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:09 GMT", "date": "Sat, 21 Nov 2026 00:00:05 GMT"}, 4.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
    ],
)
def test_what_was_asked_is_understood(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now=NOW) == seconds


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text(), st.text())
def test_no_header_gives_a_wait_out_of_bounds(seconds: str, milliseconds: str, date: str) -> None:
    found = retry_after_s({"retry-after": seconds, "retry-after-ms": milliseconds, "date": date}, now=NOW)

    assert found is None or 0.0 <= found <= LONGEST_RETRY_AFTER_S
