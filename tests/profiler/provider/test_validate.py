from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import CallError
from profiler.core.nouns import Limit, RateHeaders, Reply
from profiler.provider import validate
from profiler.provider.mock_server.answering.answers import USAGE
from profiler.provider.requests import Planner
from profiler.provider.validate import Checked, mend_failure, uncounted
from tests.profiler.building import PARAMS, dialogue

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = Planner(PARAMS).request(0, dialogue())
SOUND = Reply(completion="Paris.", stop_reason="end_turn", model="m", usage={"input_tokens": 12, "output_tokens": 3})


class Saying:
    """A client that answers what it is given, or raises it."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)

    async def complete(self, _: object) -> Any:
        said = self.said.pop(0)
        if isinstance(said, BaseException):
            raise said
        return said


async def called(checked: Checked) -> Reply | CallError:
    """Make a call as the pool does: its reply, or what its failure stands for."""
    try:
        return checked.reply(REQUEST, await checked.call(REQUEST))
    except BaseException as error:
        if (failure := checked.failure(REQUEST, error)) is None:
            raise
        return failure


async def answered(checked: Checked) -> Reply:
    reply = await called(checked)
    assert isinstance(reply, Reply)
    return reply


async def failed(checked: Checked) -> CallError:
    failure = await called(checked)
    assert isinstance(failure, CallError)
    return failure


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": 1, "output_tokens": 0, "service_tier": "standard", "inference_geo": None},
        {"input_tokens": 1, "cache_creation_input_tokens": None, "cache_creation": None},
        {
            "input_tokens": 1,
            "output_tokens_details": {"thinking_tokens": 3},
            "server_tool_use": {"web_search_requests": 0},
        },
        {"input_tokens": 1 << 53, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 0}},
        {"input_tokens": 1, "iterations": [{"input_tokens": -1}], "new": -1.5},
    ],
)
def test_what_a_provider_may_say_is_counted(usage: dict[str, Any]) -> None:
    assert uncounted(usage) is None


@pytest.mark.parametrize(
    ("usage", "named"),
    [
        (None, "usage: found nothing"),
        ([1], "usage: found a list of 1"),
        ({"input_tokens": -1}, "usage.input_tokens: found -1"),
        ({"input_tokens": True}, "usage.input_tokens: found true"),
        ({"input_tokens": 12.0}, "usage.input_tokens: found 12.0"),
        ({"output_tokens": (1 << 53) + 1}, "usage.output_tokens: found 9007199254740993"),
        ({"output_tokens": 10**5000}, "usage.output_tokens: found a huge number"),
        ({"output_tokens": "12"}, "usage.output_tokens: found '12'"),
        ({"new_tokens": [1]}, "usage.new_tokens: found a list of 1"),
        ({"cache_creation": 7}, "usage.cache_creation: found 7"),
        (
            {"cache_creation": {"ephemeral_1h_input_tokens": -7}},
            "usage.cache_creation.ephemeral_1h_input_tokens: found -7",
        ),
        ({"output_tokens_details": {"thinking_tokens": "1"}}, "usage.output_tokens_details.thinking_tokens: found '1'"),
        ({"server_tool_use": {"web_search_requests": 0.5}}, "usage.server_tool_use.web_search_requests: found 0.5"),
    ],
)
def test_what_cannot_be_counted_is_named(usage: object, named: str) -> None:
    assert (uncounted(usage) or "").startswith(named)


NAMES = [field.name for field in msgspec.structs.fields(validate._UsualUsage)] + ["new_tokens", "web_search_requests"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([1 << 53, (1 << 53) + 1, 1 << 64, 12.0, "12", [1]]),
)
NESTED = st.dictionaries(
    st.sampled_from(["ephemeral_5m_input_tokens", "thinking_tokens", "web_fetch_requests", "other"]), VALUES, max_size=2
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES | NESTED, max_size=4))
def test_the_quick_look_passes_nothing_that_the_slow_one_finds_odd(usage: dict[str, Any]) -> None:
    assert not validate.is_usual(usage) or uncounted(usage) is None


def test_a_usage_of_today_passes_the_quick_look() -> None:
    counts = {
        "input_tokens": 812,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": None,
        "output_tokens": 3,
    }
    nested = {"cache_creation": {"ephemeral_5m_input_tokens": 0}, "output_tokens_details": {"thinking_tokens": 0}}
    assert validate.is_usual({**counts, **nested, "service_tier": "standard", "inference_geo": "us"})


def test_all_that_the_newest_sdk_knows_of_a_usage_passes_the_quick_look() -> None:
    """The mock server takes the keys of its usage from the SDK."""
    assert validate.is_usual({**USAGE, "input_tokens": 24, "output_tokens": 12})


@pytest.mark.parametrize("own", [False, True])
async def test_a_sound_reply_passes_as_it_is(*, own: bool) -> None:
    assert await answered(Checked(Saying(SOUND), own=own)) is SOUND


@pytest.mark.parametrize("own", [False, True])
async def test_an_uncounted_usage_is_empty_and_told_once(*, own: bool) -> None:
    told: list[str] = []
    odd = Reply(completion="x", stop_reason=None, model="m", usage={"input_tokens": -1})
    checked = Checked(Saying(odd, odd), own=own, tell=told.append)

    assert [(await answered(checked)).usage for _ in range(2)] == [{}, {}]
    (line,) = told
    assert line.startswith(
        "d0: usage.input_tokens: found -1 (a whole number), expected a whole number from 0 to 9007199254740992; the usage of such"
    )


async def test_an_exception_of_a_built_in_client_is_a_bug_and_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        await answered(Checked(Saying(ZeroDivisionError())))


async def test_who_answered_once_may_fail_as_often_as_it_likes() -> None:
    faults = [ZeroDivisionError() for _ in range(20)]
    checked = Checked(Saying(SOUND, *faults), own=True)
    await answered(checked)

    assert not any([(await failed(checked)).fatal for _ in faults])


async def test_a_client_that_never_answers_is_given_up_after_five_calls() -> None:
    checked = Checked(Saying(*[None, ZeroDivisionError()] * 3), own=True)

    assert [(await failed(checked)).fatal for _ in range(5)] == [False, False, False, False, True]


async def test_a_call_that_the_engine_ends_is_no_fault_of_the_client() -> None:
    class Waiting:
        async def complete(self, _: object) -> Any:
            await anyio.sleep_forever()

    with anyio.move_on_after(0.01) as scope:
        await answered(Checked(Waiting(), own=True))

    assert scope.cancelled_caught


def error_with(**fields: Any) -> CallError:
    error = CallError("kind", "message", status=400)
    for name, value in fields.items():
        setattr(error, name, value)
    mend_failure(error)
    return error


def test_a_sound_failure_is_left_as_it_is() -> None:
    limits = RateHeaders(requests=Limit(5, 4))
    fields = {"kind": "rate_limited", "message": "slow", "status": 429, "request_id": "r", "retryable": True}
    fields |= {"retry_after_s": 7.5, "fatal": False, "ramp": True, "limits": limits, "sent": False}
    error = error_with(**fields)

    assert {name: getattr(error, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("name", "given", "becomes"),
    [
        ("kind", 429, "429"),
        ("kind", None, "unknown"),
        ("kind", "", "unknown"),
        ("kind", "two\nlines", "two lines"),
        ("kind", "k" * 500, "k" * 59 + "…"),
        ("message", b"\xff", r"b'\xff'"),
        ("message", "\x1b[31mred", r"\x1b[31mred"),
        ("message", "half \ud800", r"half \ud800"),
        ("message", "m" * 501, "m" * 499 + "…"),
        ("status", "429", None),
        ("status", True, None),
        ("status", 10**30, None),
        ("request_id", 7, "7"),
        ("retry_after_s", -1, 0.0),
        ("retry_after_s", 10**400, 3600.0),
        ("retry_after_s", math.nan, None),
        ("retry_after_s", math.inf, 3600.0),
        ("retry_after_s", "soon", None),
        ("limits", {"requests": 5}, None),
        ("limits", RateHeaders(requests=5), None),  # type: ignore[arg-type]
    ],
)
def test_a_field_of_a_failure_becomes_what_can_be_used(name: str, given: object, becomes: object) -> None:
    assert getattr(error_with(**{name: given}), name) == becomes


def test_the_message_of_a_failure_that_cannot_be_told_is_its_type() -> None:
    class Mute:
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert error_with(message=Mute()).message == "Mute"


@pytest.mark.parametrize(
    ("field", "given", "becomes"),
    [
        ("completion", "P\ud800s", "P\ufffds"),
        ("model", 7, None),
        ("stop_reason", ["end_turn"], None),
        ("metadata", {"x": object()}, {}),
        ("latency_s", -1.0, None),
        ("latency_s", math.nan, None),
        ("latency_s", 1e13, None),
        ("latency_s", 1e303, None),
        ("latency_s", 1e9, 1e9),
        ("limits", 7, None),
        ("content", "text", None),
        ("usage", {1: object()}, {}),
    ],
)
async def test_a_field_of_an_own_reply_becomes_what_can_be_written(field: str, given: Any, becomes: Any) -> None:
    usual: dict[str, Any] = {"completion": "x", "stop_reason": None, "model": "m", "usage": {"input_tokens": 1}}
    reply = await answered(Checked(Saying(Reply(**{**usual, field: given})), own=True))

    assert getattr(reply, field) == becomes
    assert all(getattr(reply, name) == value for name, value in usual.items() if name != field)


WRONG: dict[str, Callable[[], object]] = {"none": lambda: None, "dict": dict, "class": lambda: Reply}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_no_reply_is_the_failure_of_its_dialogue(wrong: str) -> None:
    error = await failed(Checked(Saying(WRONG[wrong]()), own=True))

    assert (error.kind, error.retryable, error.fatal) == ("bad_reply", False, False)
    assert error.message.startswith("the client answered 'd0' with ")
