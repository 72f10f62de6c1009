from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.provider.mock_server.admission.rate_limits import Bucket, Limits, Need, rfc3339
from profiler.provider.mock_server.settings import LimitRule

MESSAGE = Need(endpoint="messages")


def limits(burst_s: float = 60.0, **rule: int) -> Limits:
    return Limits([LimitRule(**rule)] if rule else [], burst_s=burst_s)  # type: ignore[arg-type]


def need(input_tokens: int, output_tokens: int, *, endpoint: str = "messages", model: str | None = None) -> Need:
    return Need(endpoint=endpoint, model=model, input_tokens=input_tokens, output_tokens=output_tokens)


def admitted(limits: Limits, *, seconds: float, tries_per_second: int, input_tokens: int = 1) -> int:
    """How many get in, when tried evenly from one second to another."""
    count = 0
    for number in range(round(seconds * tries_per_second)):
        now = number / tries_per_second
        count += limits.admit(need(input_tokens, 1), now=now) is None
    return count


def test_a_minutes_worth_may_come_at_once_and_then_the_rate() -> None:
    assert admitted(limits(requests_per_minute=600), seconds=60, tries_per_second=100) in (1199, 1200)


def test_a_small_burst_leaves_only_the_rate() -> None:
    assert admitted(limits(requests_per_minute=600, burst_s=1), seconds=60, tries_per_second=100) in (609, 610)


def test_the_limit_that_is_reached_first_decides() -> None:
    both = limits(requests_per_minute=600, input_tokens_per_minute=3000, burst_s=1)

    assert admitted(both, seconds=60, tries_per_second=100, input_tokens=50) in (60, 61)


def test_a_refusal_takes_nothing() -> None:
    both = limits(requests_per_minute=60, input_tokens_per_minute=100)
    assert both.admit(need(60, 1), now=0) is None

    assert [both.admit(need(60, 1), now=0) is None for _ in range(5)] == [False] * 5

    assert b"requests-remaining: 59" in both.fields(MESSAGE, now=0, wall=0)


def test_a_refusal_says_which_limit_and_how_long() -> None:
    tokens = limits(output_tokens_per_minute=600)
    tokens.admit(need(1, 600), now=5)

    refusal = tokens.admit(need(1, 100), now=6)

    assert refusal is not None
    assert (refusal.limit, refusal.per_minute, round(refusal.wait_s, 6)) == ("output-tokens", 600, 9.0)


def test_of_several_limits_the_longest_wait_is_told() -> None:
    both = limits(requests_per_minute=60, output_tokens_per_minute=60, burst_s=1)
    both.admit(need(1, 5), now=0)

    refusal = both.admit(need(1, 1), now=0)

    assert refusal is not None
    assert (refusal.limit, refusal.wait_s) == ("output-tokens", 5.0)


def test_what_never_fits_is_let_through_by_a_full_bucket_and_paid_back() -> None:
    bucket = Bucket(60, burst_s=10)
    bucket.refill(0)

    assert bucket.wait_for(30) == 0
    bucket.take(30)
    assert bucket.wait_for(1) == pytest.approx(21)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=50))
def test_never_more_is_given_than_was_saved_up_and_refilled(calls: list[tuple[float, int]]) -> None:
    bucket = Bucket(600, burst_s=2)
    now, given_out = 0.0, 0
    for pause, amount in calls:
        now += pause
        bucket.refill(now)
        if not bucket.wait_for(amount):
            bucket.take(amount)
            given_out += amount

    assert given_out <= 20 + now * 10 + 1e-6


@given(st.integers(1, 20), st.floats(0, 3))
def test_after_the_wait_there_is_room(amount: int, later: float) -> None:
    bucket = Bucket(600, burst_s=2)
    bucket.refill(0)
    bucket.take(20)
    bucket.refill(later)

    bucket.refill(later + bucket.wait_for(amount))

    assert bucket.wait_for(amount) == pytest.approx(0, abs=1e-6)


def test_the_headers_name_limit_remaining_and_reset() -> None:
    three = limits(requests_per_minute=60, input_tokens_per_minute=600, output_tokens_per_minute=1200)
    three.admit(need(100, 30), now=0)

    lines = three.fields(MESSAGE, now=0, wall=1_790_000_000).decode().split("\r\n")

    prefix = "anthropic-ratelimit-"
    assert [line.removeprefix(prefix) for line in lines[:-1]] == [
        *("requests-limit: 60", "requests-remaining: 59", f"requests-reset: {rfc3339(1_790_000_001)}"),
        *("input-tokens-limit: 600", "input-tokens-remaining: 500", f"input-tokens-reset: {rfc3339(1_790_000_010)}"),
        *("output-tokens-limit: 1200", "output-tokens-remaining: 1170"),
        f"output-tokens-reset: {rfc3339(1_790_000_002)}",
        *("tokens-limit: 1800", "tokens-remaining: 1670", f"tokens-reset: {rfc3339(1_790_000_010)}"),
    ]


def test_a_reset_is_a_whole_second_and_never_too_early() -> None:
    assert [rfc3339(0), rfc3339(0.1)] == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]


def test_without_limits_nothing_is_said_of_them() -> None:
    assert limits().fields(MESSAGE, now=0, wall=0) == b""


def test_a_limit_is_for_the_endpoints_it_names() -> None:
    batches = Limits([LimitRule(endpoint="batches", requests_per_minute=1)], burst_s=1)

    refused = [
        batches.admit(need(1, 1, endpoint=endpoint), now=0) is not None
        for endpoint in ("batches.create", "batches.list", "messages", "messages", "files.list")
    ]

    assert refused == [False, True, False, False, False]
    assert batches.fields(MESSAGE, now=0, wall=0) == b""


def test_a_limit_is_for_the_models_that_fit_it() -> None:
    rule = LimitRule(model="claude-opus-*", requests_per_minute=1)
    opus = Limits([rule], burst_s=1)

    models = ("claude-opus-5", "claude-haiku-4-5", "claude-haiku-4-5", "claude-opus-4-8")
    refused = [opus.admit(need(1, 1, model=model), now=0) is not None for model in models]

    assert refused == [False, False, False, True]


def test_each_model_can_have_buckets_of_its_own() -> None:
    each = Limits([LimitRule(each_model=True, requests_per_minute=1)], burst_s=1)

    models = ("claude-opus-5", "claude-haiku-4-5", "claude-haiku-4-5", "claude-opus-5")
    refused = [each.admit(need(1, 1, model=model), now=0) is not None for model in models]

    assert refused == [False, False, True, True]


def test_of_two_rules_the_tighter_one_is_told() -> None:
    two = Limits([LimitRule(requests_per_minute=60), LimitRule(endpoint="*", requests_per_minute=10)])
    two.admit(MESSAGE, now=0)

    assert b"requests-limit: 10\r\n" in two.fields(MESSAGE, now=0, wall=0)


def test_a_limit_for_an_endpoint_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'batches'"):
        Limits([LimitRule(endpoint="batch", requests_per_minute=1)])
