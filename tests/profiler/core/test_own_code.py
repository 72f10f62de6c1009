from __future__ import annotations

import asyncio
import base64

import pytest
import uvloop

from profiler.core.own_code import said, their_traceback


async def library_fails() -> None:
    base64.b64decode("x")


def test_of_a_failure_on_the_loop_of_live_runs_only_the_lines_of_the_user_are_told() -> None:
    with (
        pytest.raises(ValueError, match="base64") as caught,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(library_fails())

    lines = their_traceback(caught.value)
    assert "library_fails" in lines
    assert "uvloop" not in lines


def test_a_failure_on_that_loop_is_not_the_users_where_no_line_of_theirs_is_in_it() -> None:
    with (
        pytest.raises(ValueError, match="base64") as caught,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(asyncio.to_thread(base64.b64decode, "x"))
    below = caught.value.__traceback__
    assert below is not None

    assert said(caught.value.with_traceback(below.tb_next)).endswith(f"{caught.value}")
    assert their_traceback(caught.value) == ""


def test_what_an_exception_quotes_does_not_steer_a_terminal() -> None:
    assert (
        said(ValueError("found \x1b]0;title\x07 in the answer")) == r"ValueError: found \x1b]0;title\x07 in the answer"
    )
