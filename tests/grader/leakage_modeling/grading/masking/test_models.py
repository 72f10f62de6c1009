"""No input from a model ends an episode as `error`: a trainer leaves those out, so a losing agent would void just the
episodes that it loses. Every block, field and type of its replies is made up here, by chance and by malice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.leakage_modeling.grading.folder import RunFolder
from grader.leakage_modeling.grading.regrade import regrade
from profiler.core.errors import CallError
from profiler.core.nouns import Reply
from profiler.provider.failures import bad_reply
from profiler.provider.messages import NotAMessage, reply_of
from profiler.provider.redact import Redactor
from tests.grader.leakage_modeling.grading.masking.made_up import FUZZ, HONEST, PLAYS, TEXTS, VALUES, run, says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking"]) | TEXTS},
    optional={
        "id": VALUES,
        "name": st.sampled_from(["python_expression", "submit_answer"]) | VALUES,
        "input": VALUES
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("expression", "pipeline", "probabilities", "y_pred_proba"),
                VALUES | st.sampled_from(["p", "pipeline", "[1e999]"]),
            ),
        ),
        "text": VALUES,
        "thinking": VALUES,
        "signature": VALUES,
        "data": VALUES,
    },
)


STOPS = st.sampled_from(
    ["end_turn", "tool_use", "max_tokens", "refusal", "pause_turn", "model_context_window_exceeded", "\ud800", None]
)


USAGES = st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]), VALUES)


@FUZZ
@given(blocks=st.lists(BLOCKS, max_size=5), stop_reason=STOPS, usage=USAGES, text=TEXTS)
def test_no_reply_of_a_model_is_an_error(
    tmp_path: Path, numbers: Iterator[int], blocks: list[Any], stop_reason: Any, usage: Any, text: str
) -> None:
    run(tmp_path, numbers, HONEST, says(*blocks, stop_reason=stop_reason, usage=usage, text=text), *PLAYS)
    run(tmp_path, numbers, HONEST, Reply(completion=text, stop_reason=stop_reason, model=text, usage=usage))


@pytest.mark.parametrize(
    "given_",
    [
        rb'{"expression": "\ud800"}',
        rb'{"\udfff": 1}',
        rb'{"probabilities": [1e999], "pipeline": "pipeline"}',
        b'{"probabilities": [' + b"9" * 400 + b'], "pipeline": "pipeline"}',
        b'{"x": ' + b"[" * 1200 + b"]" * 1200 + b"}",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["half a character", "half a key", "beyond all numbers", "a long number", "deep", "deeper"],
)
def test_no_bytes_that_a_model_can_have_written_are_an_error(
    tmp_path: Path, numbers: Iterator[int], given_: bytes
) -> None:
    """As they come over the wire, through the client's own reader."""
    body = (
        b'{"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "usage": {}, '
        b'"content": [{"type": "tool_use", "id": "t", "name": "submit_answer", "input": ' + given_ + b"}]}"
    )
    try:
        said: Reply | CallError = reply_of(body, {})
    except NotAMessage as problem:
        said = bad_reply(problem, {}, body, redact=Redactor())

    run(tmp_path, numbers, HONEST, PLAYS[0], said, *PLAYS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            CallError("invalid_request", "prompt is too long: 210000 tokens > 200000 maximum", status=400),
            "context_full",
        ),
        (
            CallError("invalid_request", "messages.2.content.0.tool_use.name: String should match", status=400),
            "bad_output",
        ),
        (CallError("request_too_large", "Request exceeds the maximum size", status=413), "context_full"),
        (CallError("nested_too_deep", "found 9000 bytes", status=200), "bad_output"),
    ],
)
def test_a_conversation_that_the_model_filled_or_broke_is_its_own_failure(
    tmp_path: Path, numbers: Iterator[int], error: CallError, reason: str
) -> None:
    result = run(tmp_path, numbers, HONEST, PLAYS[0], error)

    assert (result.status, result.reason, result.steps) == ("fail", reason, 1)
    folder = max(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert [one.differs for one in regrade(RunFolder(folder))] == [None]
