"""Reads rows in the chat shape of fine-tuning files: `messages` with a system message first and the wanted answer last.

The system message becomes `system`, the last message, if it is the assistant's, becomes `expected`; the rest is asked.
"""

from __future__ import annotations

from typing import Any

from profiler.dataset.explain import Rejected, RowFault

SYSTEM_ROLES = ("system", "developer")


def is_chat(row: dict[str, Any]) -> bool:
    messages = row.get("messages")
    return isinstance(messages, list) and bool(messages) and (_role(messages[0]) in SYSTEM_ROLES or _answered(messages))


def unfolded(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the keys of a dialogue."""
    messages = row["messages"]
    last = len(messages) - 1
    told: dict[str, Any] = {}
    if _role(messages[0]) in SYSTEM_ROLES:
        told["system"] = _text(messages[0], at=0)
        messages = messages[1:]
    if messages and _answered(messages):
        told["expected"] = _text(messages[-1], at=last)
        messages = messages[:-1]
    if not messages:
        raise Rejected(RowFault(message="messages: none comes from the user, so nothing is asked"))
    twice = [key for key in told if row.get(key) is not None]
    if twice:
        raise Rejected(*[RowFault(message=f"{key}: given twice, as a key and as a message") for key in twice])
    return {**row, **told, "messages": messages}


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None


def _answered(messages: list[Any]) -> bool:
    return _role(messages[-1]) == "assistant"


def _text(message: dict[str, Any], *, at: int) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        kind = "the system prompt" if at == 0 else "the expected answer"
        raise Rejected(RowFault(message=f"messages[{at}].content: {kind} must be one text here"))
    return content
