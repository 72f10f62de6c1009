from __future__ import annotations

from datetime import UTC, datetime, timedelta

from profiler.engine.calls.run_clock import RunClock, seconds_since


def test_times_count_from_the_first_call_of_the_run_over_its_sessions() -> None:
    assert RunClock(first_call=100.0).at(102.5) == 2.5
    assert RunClock(first_call=100.0, earlier_s=60.0).at(102.5) == 62.5


def test_before_the_first_call_no_time_has_passed() -> None:
    assert RunClock().at(102.5) == 0.0


def test_how_long_ago_a_run_began_is_never_negative() -> None:
    now = datetime.now(UTC)

    assert seconds_since(None) == 0.0
    assert seconds_since((now + timedelta(hours=1)).isoformat(timespec="seconds")) == 0.0
    assert 60.0 <= seconds_since((now - timedelta(minutes=1)).isoformat(timespec="seconds")) < 600.0
