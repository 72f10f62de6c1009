"""What the gate learns from a refusal, of what it tells and of what it does not."""

from __future__ import annotations

import time

import pytest

from profiler.core.errors import CallError
from profiler.core.nouns import Limit, RateHeaders
from profiler.engine.limits.rate_gate import RateGate
from profiler.manifest.settings import RateLimits
from tests.profiler.engine.limits.test_rate_gate import request

REFUSED = CallError("rate_limited", "slow down", status=429, retryable=True, retry_after_s=0.0)


async def test_what_a_refusal_does_not_tell_of_is_taken_for_used_up() -> None:
    gate = RateGate(RateLimits(requests_per_minute=100, input_tokens_per_minute=100_000))
    draw = gate.try_admit(request())
    assert draw is not None
    gate.failed(draw, looked_at=False)

    gate.refused(draw, REFUSED, at_most_s=600)

    assert gate.utilisation(time.monotonic()) == pytest.approx({"requests": 1.0, "input_tokens": 1.0}, abs=0.01)


async def test_what_a_refusal_says_is_left_is_not_taken_for_used_up() -> None:
    told = RateHeaders(requests=Limit(100, 50), input_tokens=Limit(100_000, 0))
    error = CallError("rate_limited", "no", status=429, retryable=True, retry_after_s=0.0, limits=told)
    gate = RateGate(RateLimits(requests_per_minute=100, input_tokens_per_minute=100_000))
    draw = gate.try_admit(request())
    assert draw is not None
    gate.failed(draw, looked_at=False)
    gate.apply_headers(told, draw)

    assert gate.refused(draw, error, at_most_s=600)

    used = gate.utilisation(time.monotonic())
    assert used == pytest.approx({"requests": 0.5, "input_tokens": 1.0}, abs=0.02)


@pytest.mark.parametrize(
    ("told", "explained"),
    [
        (RateHeaders(requests=Limit(100, 0)), True),
        (RateHeaders(requests=Limit(100, 3)), False),
        (RateHeaders(input_tokens=Limit(1000, 2)), True),
        (RateHeaders(input_tokens=Limit(1000, 500)), False),
        (RateHeaders(output_tokens=Limit(1000, 40)), True),
        (RateHeaders(output_tokens=Limit(1000, 400)), False),
        (None, False),
    ],
)
async def test_a_refusal_for_which_no_limit_is_to_blame_teaches_a_rate(
    told: RateHeaders | None, explained: bool
) -> None:
    gate = RateGate()
    draw = gate.try_admit(request("x" * 100))
    assert draw is not None
    gate.failed(draw, looked_at=False)
    error = CallError("rate_limited", "no", status=429, retryable=True, retry_after_s=0.0, limits=told)

    gate.refused(draw, error, at_most_s=600)
    assert gate.refused(draw, error, at_most_s=600) is explained
    assert [change.told_by for change in gate.changes] == ([] if explained else ["refusals"])


async def test_a_refusal_with_room_for_the_answer_but_not_for_all_that_it_may_use_shows_what_is_held() -> None:
    """Then the calls in flight hold their whole `max_tokens` too, and give it back when they end."""
    gate = RateGate(RateLimits(output_tokens_per_minute=250))
    first = gate.try_admit(request())
    assert first is not None
    gate.answered(first, input_tokens=5, output_tokens=10, sent=len(request().body))
    flying, refused = gate.try_admit(request()), gate.try_admit(request())
    assert flying is not None
    assert refused is not None
    assert flying.output_tokens == 10

    gate.failed(refused, looked_at=False)
    told = RateHeaders(output_tokens=Limit(250, 90))
    error = CallError("rate_limited", "no", status=429, retryable=True, retry_after_s=0.0, limits=told)
    gate.apply_headers(told, refused)
    gate.refused(refused, error, at_most_s=600)
    assert flying.output_tokens == 100

    gate.answered(flying, input_tokens=5, output_tokens=10, sent=len(request().body))
    assert gate.utilisation(time.monotonic())["output_tokens"] == pytest.approx((250 - 180) / 250, abs=0.02)
