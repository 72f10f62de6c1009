"""One item of a run, joined from the files of its folder: what was asked, what came back, what it scored.

What shows, exports or reports runs stands on this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from profiler.core.nouns import RecordType
    from profiler.metrics.metric import Score


class Item(msgspec.Struct, frozen=True):
    """One item of a run: the line that says what was asked, the line that says what came back, and its scores."""

    request: dict[str, Any]
    record: dict[str, Any]
    scores: dict[str, Score]

    @property
    def dialogue_id(self) -> str:
        found: str = self.record["dialogue_id"]
        return found

    @property
    def repeat(self) -> int:
        """Which of several answers to the same dialogue this is, from 0."""
        found: int = self.request.get("repeat", self.record.get("repeat", 0))
        return found

    @property
    def type(self) -> RecordType:
        found: RecordType = self.record["type"]
        return found

    @property
    def question(self) -> str:
        """What the user said last, as text; `request["prompt"]` holds all that was sent."""
        prompt = self.request.get("prompt") or {}
        said = [each.get("content") for each in prompt.get("messages") or () if each.get("role") == "user"]
        said = said or prompt.get("turns") or [prompt.get("user")]
        return text_of(said[-1])

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """Who said what, in order: the system prompt, what was asked, and every reply."""
        prompt = self.request.get("prompt") or {}
        said = [("system", prompt["system"])] if prompt.get("system") else []
        replies = [("assistant", reply) for reply in self.replies]
        if turns := prompt.get("turns"):
            asked = [("user", turn) for turn in turns]
            # A dialogue that failed or was refused early has fewer replies than turns.
            return said + [each for pair in zip(asked, replies, strict=False) for each in pair] + asked[len(replies) :]
        messages = [(each.get("role", "user"), text_of(each.get("content"))) for each in prompt.get("messages") or ()]
        return said + (messages or [("user", text_of(prompt.get("user")))]) + replies

    @property
    def said(self) -> list[str]:
        """All texts of the conversation."""
        return [text for _, text in self.conversation]

    @property
    def replies(self) -> tuple[str, ...]:
        """Every reply of a dialogue of several turns, else the one there is; none where the call failed."""
        if replies := self.record.get("replies"):
            return tuple(replies)
        completion = self.record.get("completion")
        return () if completion is None else (completion,)

    @property
    def answer(self) -> str | None:
        """The last reply."""
        found: str | None = self.record.get("completion")
        return found


def text_of(content: Any) -> str:
    """The texts of a message; what is no text stands as its type in brackets."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else ()
    return "\n".join(str(block["text"]) if "text" in block else f"[{block.get('type', 'unknown')}]" for block in blocks)
