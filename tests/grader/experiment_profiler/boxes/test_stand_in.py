"""The stand-in for the SDK answers whoever asks as the SDK is asked, with a signature over all that was asked."""

from __future__ import annotations

import inspect
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from anthropic.resources.messages import Messages

from grader.experiment_profiler.boxes import layout, stand_in
from grader.experiment_profiler.worlds import marks

ASKED = {
    "model": "m",
    "max_tokens": 9,
    "temperature": 0.5,
    "system": "s",
    "user": "u",
    "api_key": "k",
    "base_url": "http://a",
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"model": "n"},
    {"max_tokens": 8},
    {"temperature": 0.4},
    {"temperature": None},
    {"system": "t"},
    {"system": ""},
    {"user": "v"},
    {"api_key": "other"},
    {"base_url": "http://other"},
]


def answers(secret: str) -> list[dict[str, Any]]:
    return [marks.live_message(secret, **{**ASKED, **change}) for change in CHANGES]


def all_say_something(secret: str) -> bool:
    return all(answer["texts"] and answer["error"] is None for answer in answers(secret))


SECRET = next(secret for secret in map(str, itertools.count()) if all_say_something(secret))
PROGRAM = """
import asyncio, json, os, sys
import anthropic
from anthropic.types import Message, TextBlock
from anthropic.types.beta import BetaMessage
from anthropic._exceptions import OverloadedError
ARGUMENTS = dict(
    model="m", max_tokens=9, messages=[{"role": "user", "content": "u"}], system="s", extra_body={"temperature": 0.5}
)
def text(message): return "".join(block.text for block in message.content if block.type == "text")
async def awaited(client): return await client.messages.create(**ARGUMENTS)
async def streamed(client):
    async with client.messages.stream(**ARGUMENTS) as stream:
        return "".join([text async for text in stream.text_stream])
"""
BLOCK = '[{"type": "text", "text": "u"}]'
WAYS = {
    "plainly": "text(anthropic.Anthropic().messages.create(**ARGUMENTS))",
    "with a key and an address": "text(anthropic.Anthropic(api_key='k', base_url='http://a/').messages.create(**ARGUMENTS))",
    "with other options": "text(anthropic.Anthropic(api_key='x').with_options(api_key='k').messages.create(**ARGUMENTS))",
    "in blocks": f"text(anthropic.Anthropic().messages.create(**ARGUMENTS | dict(messages=[dict(role='user', content={BLOCK})])))",
    "raw": "text(anthropic.Anthropic().messages.with_raw_response.create(**ARGUMENTS).parse())",
    "as a beta": "text(anthropic.Anthropic().beta.messages.create(**ARGUMENTS))",
    "as a stream": "''.join(anthropic.Anthropic().messages.stream(**ARGUMENTS).__enter__().text_stream)",
    "as events": "''.join(e.delta.text for e in anthropic.Anthropic().messages.create(**ARGUMENTS, stream=True)"
    " if e.type == 'content_block_delta')",
    "awaited": "text(asyncio.run(awaited(anthropic.AsyncAnthropic())))",
    "streamed and awaited": "asyncio.run(streamed(anthropic.AsyncAnthropic()))",
}
OTHERS = {
    "another model": "dict(model='n')",
    "fewer tokens": "dict(max_tokens=8)",
    "another temperature": "dict(extra_body={'temperature': 0.4})",
    "no temperature": "dict(extra_body={})",
    "another system": "dict(system='t')",
    "no system": "dict(system=anthropic.NOT_GIVEN)",
    "another user": "dict(messages=[dict(role='user', content='v')])",
}


def said(folder: Path, expression: str, *, secret: str = SECRET, **environment: str) -> Any:
    for name, content in (
        ("anthropic/__init__.py", Path(stand_in.__file__).read_bytes()),
        ("tools/__init__.py", b""),
        ("tools/mark.py", layout.MARKS.read_bytes() + layout.signing("other", live=secret, wire=None)),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    env = {"PYTHONPATH": str(folder), "ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://a", **environment}
    command = [sys.executable, "-c", f"{PROGRAM}\nprint(json.dumps({expression}))"]
    return json.loads(subprocess.run(command, env=env, check=True, capture_output=True).stdout)


def expected(**changes: Any) -> str:
    return "".join(marks.live_message(SECRET, **{**ASKED, **changes})["texts"])


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_hears_the_same(tmp_path: Path, way: str) -> None:
    assert said(tmp_path, WAYS[way]) == expected()


@pytest.mark.parametrize("other", OTHERS)
def test_whoever_asks_for_something_else_hears_something_else(tmp_path: Path, other: str) -> None:
    found = said(tmp_path, f"text(anthropic.Anthropic().messages.create(**ARGUMENTS | {OTHERS[other]}))")

    assert found != expected()


@pytest.mark.parametrize(("name", "value"), [("ANTHROPIC_API_KEY", "other"), ("ANTHROPIC_BASE_URL", "http://other")])
def test_key_and_address_are_part_of_what_is_asked(tmp_path: Path, name: str, value: str) -> None:
    assert said(tmp_path, WAYS["plainly"], **{name: value}) != expected()


@pytest.mark.parametrize("error", marks.FAILURES)
def test_some_calls_fail_and_some_replies_say_nothing(tmp_path: Path, error: str) -> None:
    failing = next(s for s in map(str, itertools.count()) if answers(s)[0]["error"] == error)
    nothing: dict[str, Any] = {"texts": [], "error": None}
    silent = next(s for s in map(str, itertools.count()) if answers(s)[0] | nothing == answers(s)[0])

    with pytest.raises(subprocess.CalledProcessError) as caught:
        said(tmp_path / "failing", WAYS["plainly"], secret=failing)
    assert error.encode() in caught.value.stderr
    assert said(tmp_path, "issubclass(anthropic.RateLimitError, anthropic.APIError)") is True
    assert said(tmp_path / "silent", WAYS["plainly"], secret=silent) == ""


def test_without_a_key_nobody_is_answered(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        said(tmp_path, WAYS["plainly"], ANTHROPIC_API_KEY="")

    assert b"Could not resolve authentication" in caught.value.stderr


def test_it_takes_the_arguments_of_the_sdk_and_no_others(tmp_path: Path) -> None:
    theirs = set(inspect.signature(Messages.create).parameters) - {"self"}
    assert theirs <= stand_in.ARGUMENTS
    assert stand_in.ARGUMENTS - theirs == {"output_format"}  # of `stream` alone
    with pytest.raises(subprocess.CalledProcessError) as caught:
        said(tmp_path, "text(anthropic.Anthropic().messages.create(**ARGUMENTS, temperature=0.5))")
    assert b"unexpected keyword argument 'temperature'" in caught.value.stderr


def test_it_is_imported_at_once(tmp_path: Path) -> None:
    """Not one of the packages that the SDK needs a second for."""
    assert said(tmp_path, "[name for name in sys.modules if name.partition('.')[0] in ('pydantic', 'httpx2')]") == []
