"""`llm` with its Anthropic plugin: its plain chat, its tool call and its structured output."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["LLM_USER_PATH"] = tempfile.mkdtemp()

import llm
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checking import run, sent

QUESTION = "What is the weather in Lisbon, and why?"


class Report(BaseModel):
    city: str
    degrees: float
    words: list[str]


def model() -> llm.Model:
    return llm.get_model("claude-haiku-4.5")


def check_it_chats() -> None:
    assert model().prompt(QUESTION, stream=False).text()


def check_it_streams() -> None:
    assert "".join(model().prompt(QUESTION)) == model().prompt(QUESTION, stream=False).text()


def check_it_calls_tools() -> None:
    asked = []

    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "sunny"

    model().chain(QUESTION, tools=[weather], stream=False).text()
    assert sent("endpoint=messages")[0]["body"]["tools"][0]["name"] == "weather"
    assert len(asked) >= len(sent("endpoint=messages")) - 1 >= 1


def check_it_gets_an_object() -> None:
    Report.model_validate(json.loads(model().prompt(QUESTION, schema=Report, stream=False).text()))


if __name__ == "__main__":
    run(globals())
