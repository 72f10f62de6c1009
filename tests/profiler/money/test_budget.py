from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import CallError
from profiler.core.nouns import Message, Params
from profiler.money.budget import IMAGE_TOKENS, LARGEST_WINDOW, Budget, dialogue_most, maybe_billed, prompt_bound, usd
from profiler.money.price_list import look_up
from profiler.money.prices import PICO, Ceiling, RateCard, cost
from profiler.provider.requests import Planner
from tests.profiler.building import dialogue

if TYPE_CHECKING:
    from profiler.core.nouns import Request


def card_of(model: str) -> RateCard:
    card = look_up(model, at=datetime(2026, 11, 21, tzinfo=UTC))
    assert card is not None
    return card


HAIKU, TIERED = card_of("claude-haiku-4-5"), card_of("claude-haiku-5-5")
SILENCE = CallError("connection", "reset")


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
    budget = Budget(HAIKU, cap_usd=1.0)

    assert not budget.fail(hold_of(budget, request()), CallError("refused", "", status=status))
    assert budget.committed == 0


@pytest.mark.parametrize("status", [None, 200, 408, 502, 504, 524])
def test_silence_a_broken_reply_and_a_gateway_may_have_been_billed(status: int | None) -> None:
    budget = Budget(HAIKU, cap_usd=1.0)
    hold = hold_of(budget, request())

    assert budget.fail(hold, CallError("lost", "", status=status))
    assert (budget.spent, budget.maybe, budget.reserved) == (0, hold, 0)


def test_calls_cut_off_at_the_end_may_have_been_billed() -> None:
    budget = Budget(HAIKU, cap_usd=1.0)
    hold = hold_of(budget, request())
    budget.close()

    assert (budget.maybe, budget.reserved) == (hold, 0)


def test_without_a_cap_there_is_always_room() -> None:
    budget = Budget(HAIKU)

    assert budget.room is None
    assert all(budget.reserve(request(max_tokens=10**9)) is not None for _ in range(100))


def test_what_earlier_sessions_spent_counts_against_the_cap() -> None:
    assert Budget(HAIKU, cap_usd=1.0, spent=PICO // 2, maybe=PICO // 2).reserve(request()) is None


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界 🎉", '"quoted"\n\\', "\x00\x1f"])
def test_the_prompt_has_at_most_a_token_for_each_byte_of_the_body(text: str) -> None:
    asked = request(user=text)

    assert prompt_bound(asked) == len(asked.body) > len(text.encode())


def blocks(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": (Message(role="user", content=list(content)),)}


def image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def test_an_image_counts_by_number_and_not_by_size() -> None:
    small, large = (prompt_bound(request(**blocks(image("A" * size)))) for size in (10, 1_000_000))

    assert small == large
    assert small >= IMAGE_TOKENS


def test_an_image_in_the_result_of_a_tool_counts_too() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image("A" * 50_000)]}

    assert IMAGE_TOKENS < prompt_bound(request(**blocks(result))) < IMAGE_TOKENS + 1_000


def test_a_document_counts_as_the_whole_context_window() -> None:
    document = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}

    assert prompt_bound(request(**blocks(document)), window=200_000) > 200_000
    assert prompt_bound(request(**blocks(document))) > LARGEST_WINDOW


def test_a_request_that_may_write_to_the_cache_is_reckoned_with_the_dearest_price() -> None:
    plain, cached = (
        Budget(HAIKU).worst(request(**blocks({"type": "text", "text": "x" * 5_000, **control})))
        for control in ({}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    )

    assert cached > 1.9 * plain


def test_talk_about_caching_is_not_caching() -> None:
    talk, prose = (
        Budget(HAIKU).worst(request(user=text)) for text in ('the "cache_control" key', "the 'cache-control' keys")
    )

    assert talk < 1.1 * prose


def test_later_turns_are_reckoned_with_all_that_was_said_before() -> None:
    ceiling, turns = Ceiling(HAIKU), ("one", "two", "three")
    asked = request(turns=turns, max_tokens=100)
    planner = Planner(asked.params)
    total, following = 0, asked
    while following is not None:
        usage = {"input_tokens": len(following.body), "output_tokens": 100, "inference_geo": "us"}
        total += cost(HAIKU, usage) or 0
        answered = planner.next_turn(following, "x" * 100)
        if answered is None:
            break
        following = answered

    assert total <= dialogue_most(ceiling, asked) < 2 * total
    assert dialogue_most(ceiling, asked, attempts=3) == 3 * dialogue_most(ceiling, asked)


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
                budget.fail(hold, CallError("rate_limited", "", status=429))
            else:
                billed += cost(card, usage) or 0
                if what == "lose":
                    budget.fail(hold, SILENCE)
                else:
                    budget.settle(hold, usage if what == "answer" else {**usage, "service_tier": "priority"})
        assert billed <= budget.spent + budget.maybe
        assert budget.cap is not None
        assert budget.committed <= budget.cap
        assert budget.reserved == sum(hold for hold, _ in flying)


def test_only_an_error_status_proves_that_nothing_was_billed() -> None:
    assert not maybe_billed(CallError("overloaded", "", status=529))
    assert maybe_billed(SILENCE)


def test_a_request_that_never_left_was_not_billed() -> None:
    refused = CallError("connection", "connection refused", retryable=True, sent=False)
    assert not maybe_billed(refused)
