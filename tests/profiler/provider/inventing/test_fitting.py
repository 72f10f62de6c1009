"""Where answers end."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from profiler.provider.inventing.fitting import Fitted, fit, tokens_of

TEXT = {"type": "text", "text": "The sea is salty."}
CALL: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "n", "input": {"city": "Oslo", "note": "word " * 20}}


def test_what_fits_is_left_alone() -> None:
    assert fit([TEXT, CALL], stops=(), room=100) == Fitted([TEXT, CALL], tokens_of(TEXT) + tokens_of(CALL))


def test_a_text_is_cut_in_the_middle() -> None:
    assert fit([TEXT, CALL], stops=(), room=2) == Fitted([TEXT | {"text": "The sea "}], 2, "max_tokens")


def test_a_call_that_is_cut_keeps_the_fields_that_were_whole() -> None:
    assert fit([CALL], stops=(), room=10) == Fitted([CALL | {"input": {"city": "Oslo"}}], 10, "max_tokens")


def test_json_is_cut_too() -> None:
    whole = json.dumps({"numbers": list(range(50))})
    (block,), _, reason, _ = fit([TEXT | {"text": whole}], stops=(), room=8)

    assert (block["text"], reason) == (whole[:32], "max_tokens")


def test_the_first_stop_sequence_ends_it_and_what_follows_is_gone() -> None:
    fitted = fit([TEXT, CALL], stops=("salty", "sea", "moon"), room=100)

    assert fitted == Fitted([TEXT | {"text": "The "}], 2, "stop_sequence", "sea")


def test_a_stop_sequence_that_comes_too_late_does_not_count() -> None:
    assert fit([TEXT], stops=("salty",), room=1)[2:] == ("max_tokens", None)


@given(texts=st.lists(st.text(min_size=1), max_size=4), room=st.integers(0, 60))
def test_no_answer_is_longer_than_its_room(texts: list[str], room: int) -> None:
    fitted = fit([{"type": "text", "text": text} for text in texts], stops=(), room=room)

    assert fitted.tokens <= room
    assert sum(len(block["text"]) for block in fitted.blocks) <= room * 4
    assert (fitted.stop_reason == "max_tokens") == ([block["text"] for block in fitted.blocks] != texts)
