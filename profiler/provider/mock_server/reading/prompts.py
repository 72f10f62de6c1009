"""What was asked, after it was checked: the structs that answers are made from."""

from __future__ import annotations

from typing import Any

import msgspec

Content = str | list[dict[str, Any]]


class Said(msgspec.Struct):
    """One message of the conversation so far."""

    role: str
    content: Content = ""  # a message of the system may only change settings


class Prompt(msgspec.Struct, kw_only=True):
    """What creating a message and counting its tokens have in common. Fields that change no answer have no place."""

    model: str
    messages: list[Said]
    system: Content | None = None
    thinking: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    thread: dict[str, Any] | None = None
    speed: str | None = None
    plain: bool = False  # only texts, so nothing in it has to be looked for
    input_tokens: int = 0  # estimated once, when the request is checked

    @property
    def turn(self) -> int:
        """How many replies the conversation already holds."""
        return [said.role for said in self.messages].count("assistant")

    def asked(self) -> tuple[str, str]:
        """The last and the first text of the user."""
        first = last = ""
        for said in self.messages:
            if said.role == "user" and (text := text_of(said.content)):
                first, last = first or text, text
        return last, first

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema that the text of the answer must fit, whichever way it was sent."""
        form = (self.output_config or {}).get("format") or self.output_format
        return form["schema"] if form else None


class NewMessage(Prompt, kw_only=True):
    """A request for a message."""

    max_tokens: int
    stream: bool = False
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    diagnostics: dict[str, Any] | None = None
    compaction: dict[str, Any] | None = None


def text_of(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


def blocks_of(content: Content | None) -> list[dict[str, Any]]:
    """A text is short for one block of text."""
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
