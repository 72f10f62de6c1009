from __future__ import annotations

from profiler.results.values import GETTERS, holds_text


def test_a_table_without_texts_lacks_just_the_columns_that_hold_or_quote_them() -> None:
    texts = {"question", "answer", "replies", "required_facts", "expected", "tool_calls", "error.message"}
    assert {name for name in GETTERS if holds_text(name)} == texts
    assert all(map(holds_text, ("metadata.topic", "request", "stop_details.explanation")))
