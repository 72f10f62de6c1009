"""Instructor, which stands on an SDK of years ago: its plain chat, its tool call and its structured output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import anthropic
import instructor
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checking import MODEL, expect_one_of, run, sent

MESSAGES = [{"role": "user", "content": "What is the weather in Lisbon, and why?"}]
OPTIONS = {"model": MODEL, "max_tokens": 300, "messages": MESSAGES}


class Report(BaseModel):
    city: str
    degrees: float
    words: list[str]


def check_the_old_sdk_chats() -> None:
    message = anthropic.Anthropic(max_retries=0).messages.create(**OPTIONS, temperature=0.5)
    assert message.content[0].text
    expect_one_of(sent()[0]["headers"]["anthropic-version"], "2023-06-01")


def check_the_old_sdk_streams() -> None:
    with anthropic.Anthropic(max_retries=0).messages.stream(**OPTIONS) as stream:
        assert stream.get_final_text()


def check_an_object_by_a_tool() -> None:
    client = instructor.from_anthropic(anthropic.Anthropic(max_retries=0))
    assert isinstance(client.messages.create(**OPTIONS, response_model=Report), Report)


def check_parts_of_an_object_as_they_come() -> None:
    client = instructor.from_anthropic(anthropic.Anthropic(max_retries=0))
    *_, last = client.messages.create_partial(**OPTIONS, response_model=Report)
    assert isinstance(last.city, str)


def check_several_tools_at_once() -> None:
    client = instructor.from_provider(f"anthropic/{MODEL}", mode=instructor.Mode.PARALLEL_TOOLS)
    found = list(client.create(messages=MESSAGES, max_tokens=300, response_model=Iterable[Report]))
    assert all(isinstance(each, Report) for each in found)


if __name__ == "__main__":
    run(globals())
