from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import CallError
from profiler.core.nouns import Params
from profiler.money.budget import Budget, maybe_billed, usd
from profiler.money.price_list import look_up
from profiler.money.prices import PICO, RateCard, cost
from profiler.provider.requests import Planner
from tests.profiler.building import dialogue

if TYPE_CHECKING:
    from profiler.core.nouns import Request


def card_of(model: str) -> RateCard:
    card = look_up(model, at=datetime(2026, 11, 21, tzinfo=UTC))
    assert card is not None
    return card


HAIKU, TIERED = card_of("claude-haiku-4-5"), card_of("claude-haiku-5-5")


def request(*, max_tokens: int = 64, **fields: Any) -> Request:
    params = Params(model="claude-haiku-4-5", max_tokens=max_tokens)
    return Planner(params).request(0, dialogue(**fields))


def hold_of(budget: Budget, asked: Request) -> int:
    hold = budget.reserve(asked)
    assert hold is not None
    return hold


def test_the_worst_case_is_set_aside_before_a_call() -> None:
    asked = request()
    budget = Budget(HAIKU, cap_usd=1.0)
    budget.reserve(asked)

    real = cost(HAIKU, {"input_tokens": len(asked.body), "output_tokens": 64, "inference_geo": "us"})
    assert real is not None
    assert budget.reserved >= real
    assert budget.room == PICO - budget.reserved


def test_a_call_that_might_pass_the_cap_gets_nothing() -> None:
    asked = request()
    most = Budget(HAIKU).worst(asked)
    budget = Budget(HAIKU, cap_usd=1.5 * most / PICO)

    assert budget.reserve(asked) == most
    assert budget.reserve(asked) is None


def test_a_reply_pays_its_price_and_frees_the_rest() -> None:
    budget = Budget(HAIKU, cap_usd=1.0)
    paid = budget.settle(hold_of(budget, request()), {"input_tokens": 3, "output_tokens": 4})

    assert paid == 3 * 1_000_000 + 4 * 5_000_000
    assert (budget.spent, budget.maybe, budget.reserved) == (paid, 0, 0)


def test_a_reply_of_unknown_price_keeps_its_worst_case() -> None:
    budget = Budget(HAIKU, cap_usd=1.0)
    hold = hold_of(budget, request())

    assert budget.settle(hold, {"input_tokens": 3, "output_tokens": 4, "service_tier": "priority"}) is None
    assert (budget.spent, budget.maybe, budget.reserved) == (0, hold, 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503, 529])
def test_an_error_status_of_the_api_is_not_billed(status: int) -> None:
    assert not maybe_billed(CallError("refused", "", status=status))


@pytest.mark.parametrize("status", [None, 200, 408, 502, 504, 524])
def test_silence_a_broken_reply_and_a_gateway_may_have_been_billed(status: int | None) -> None:
    assert maybe_billed(CallError("lost", "", status=status))


def test_a_hold_that_is_kept_or_released_leaves_the_reserve() -> None:
    budget = Budget(HAIKU, cap_usd=1.0)
    kept, released = hold_of(budget, request()), hold_of(budget, request())
    budget.keep(kept)
    budget.release(released)

    assert (budget.spent, budget.maybe, budget.reserved) == (0, kept, 0)


def test_what_was_paid_for_a_dialogue_of_unknown_price_still_counts() -> None:
    budget = Budget(HAIKU, cap_usd=1.0, spent=100)
    budget.doubt(40)

    assert (budget.spent, budget.maybe, budget.committed) == (60, 40, 100)


def test_without_a_cap_there_is_always_room() -> None:
    budget = Budget(HAIKU)

    assert budget.room is None
    assert all(budget.reserve(request(max_tokens=10**9)) is not None for _ in range(100))


def test_what_earlier_sessions_spent_counts_against_the_cap() -> None:
    assert Budget(HAIKU, cap_usd=1.0, spent=PICO // 2, maybe=PICO // 2).reserve(request()) is None


def test_small_amounts_are_not_rounded_away() -> None:
    assert [usd(amount) for amount in (0, 21_000_000, 1_000_000_000, 1_234_000_000_000)] == [
        "$0.00",
        "$2.1e-05",
        "$0.0010",
        "$1.23",
    ]


Step = st.tuples(
    st.sampled_from(["ask", "answer", "odd", "refuse", "lose"]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 300_000),
)


@given(
    card=st.sampled_from([HAIKU, TIERED]),
    cap_usd=st.floats(0.0001, 1.0),
    steps=st.lists(Step, max_size=60),
    geo=st.sampled_from([None, "us"]),
)
def test_the_cap_holds_whatever_calls_cost_and_however_they_overlap(
    card: RateCard, cap_usd: float, steps: list[tuple[str, float, float, int]], geo: str | None
) -> None:
    """`billed` is the provider's view: it charges what it likes within the bounds, also for calls it never answered."""
    budget = Budget(card, cap_usd=cap_usd)
    flying: list[tuple[int, Request]] = []
    billed = 0
    for what, share_in, share_out, size in steps:
        if what == "ask":
            asked = request(user="x" * size, max_tokens=2_000)
            if (hold := budget.reserve(asked)) is not None:
                flying.append((hold, asked))
        elif flying:
            hold, asked = flying.pop(int(share_in * (len(flying) - 1)))
            usage = {
                "input_tokens": int(share_in * len(asked.body)),
                "output_tokens": int(share_out * 2_000),
                "inference_geo": geo,
            }
            if what == "refuse":
                budget.release(hold)
            else:
                billed += cost(card, usage) or 0
                if what == "lose":
                    budget.keep(hold)
                else:
                    budget.settle(hold, usage if what == "answer" else {**usage, "service_tier": "priority"})
        assert billed <= budget.spent + budget.maybe
        assert budget.cap is not None
        assert budget.committed <= budget.cap
        assert budget.reserved == sum(hold for hold, _ in flying)


def test_a_request_that_never_left_was_not_billed() -> None:
    refused = CallError("connection", "connection refused", retryable=True, sent=False)
    assert not maybe_billed(refused)
