"""Why the cache could not serve a request: one reason for each thing that may have changed."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.provider.mock_server.caching import cache_diagnosis
from profiler.provider.mock_server.caching.cache_diagnosis import Diagnosis
from tests.profiler.provider.mock_server.reading.asking import TOOL, exchange, read

FIRST: dict[str, Any] = {
    "system": "Be brief. " * 40,
    "messages": exchange("Hello " * 40, "Hi.", "And now?"),
    "tools": [TOOL],
    "diagnostics": {"previous_message_id": None},
}


def reason(changes: dict[str, Any], *, previous: str = "msg_1") -> dict[str, Any] | None:
    diagnosis = Diagnosis()
    diagnosis.remember(read(**FIRST), message_id="msg_1")
    told = diagnosis.of(read(**FIRST | changes | {"diagnostics": {"previous_message_id": previous}}))
    found: dict[str, Any] | None = told["cache_miss_reason"] if told else None
    return found


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"model": "claude-sonnet-4-5"}, "model_changed"),
        ({"system": "Be long."}, "system_changed"),
        ({"system": None}, "system_changed"),
        ({"tools": [TOOL | {"name": "other"}]}, "tools_changed"),
        ({"tools": [TOOL, TOOL | {"name": "other"}]}, "tools_changed"),
        ({"messages": exchange("Bye " * 40, "Hi.", "And now?")}, "messages_changed"),
        ({"messages": exchange("Hello " * 40)}, "messages_changed"),
    ],
)
def test_what_has_changed_is_the_reason(changes: dict[str, Any], kind: str) -> None:
    told = reason(changes)

    assert told is not None
    assert told["type"] == kind
    assert told["cache_missed_input_tokens"] >= 0


@pytest.mark.parametrize("changes", [{}, {"messages": [*FIRST["messages"], *exchange("x", "Fine.", "Good.")[1:]]}])
def test_a_conversation_that_only_goes_on_has_no_reason(changes: dict[str, Any]) -> None:
    assert reason(changes) is None


def test_what_the_model_may_do_gives_no_diagnosis() -> None:
    assert reason({"tool_choice": {"type": "any"}}) == {"type": "unavailable"}


def test_a_request_that_is_not_remembered_is_said_to_be_so() -> None:
    assert reason({}, previous="msg_2") == {"type": "previous_message_not_found"}


def test_the_first_request_has_nothing_to_compare_with() -> None:
    assert Diagnosis().of(read(**FIRST)) is None


def test_what_is_missed_is_what_came_after_the_part_that_is_shared() -> None:
    whole, part = reason({"tools": None}), reason({"messages": exchange("Hello " * 40, "Hm.", "And now?")})

    assert whole is not None
    assert part is not None
    assert part["cache_missed_input_tokens"] < 20
    assert whole["cache_missed_input_tokens"] > 150


def test_old_requests_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_diagnosis, "MOST_REMEMBERED", 2)
    diagnosis = Diagnosis()
    for number in range(3):
        diagnosis.remember(read(**FIRST), message_id=f"msg_{number}")
    told = [diagnosis.of(read(**FIRST | {"diagnostics": {"previous_message_id": f"msg_{n}"}})) for n in (0, 2)]

    assert told == [{"cache_miss_reason": {"type": "previous_message_not_found"}}, None]
