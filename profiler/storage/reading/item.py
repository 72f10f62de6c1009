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
        if calls := self.tool_calls:
            last = [replies.pop()[1]] if replies else []
            replies.append(("assistant", "\n".join(filter(None, [*last, *map(call_in_words, calls)]))))
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
        """All replies: one for each turn of the dialogue; none if the call failed."""
        if replies := self.record.get("replies"):
            return tuple(replies)
        completion = self.record.get("completion")
        return () if completion is None else (completion,)

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Which tools the last reply calls, and with what."""
        return self.record.get("tool_calls") or []

    @property
    def answer(self) -> str | None:
        """The last reply."""
        found: str | None = self.record.get("completion")
        return found


def text_of(content: Any) -> str:
    """A message as text; what is none stands in brackets, such as `[image: image/png]`. The script of reports says the
    same."""
    if isinstance(content, str):
        return content
    return "\n".join(_block_in_words(block) for block in content) if isinstance(content, list) else ""


def _block_in_words(block: Any) -> str:
    if not isinstance(block, dict):
        return "[unknown]"
    kind = block.get("type", "unknown")
    if "text" in block:
        return str(block["text"])
    if kind == "tool_use":
        return call_in_words(block)
    if kind == "tool_result":
        return f"[result of {block.get('tool_use_id')}] {text_of(block.get('content'))}".rstrip()
    source = block.get("source")
    about = None
    if isinstance(source, dict):
        about = source.get("url") or source.get("file_id") or source.get("media_type")
    return f"[{kind}: {about}]" if about else f"[{kind}]"


def call_in_words(call: dict[str, Any]) -> str:
    return f"[calls {call.get('name')} {msgspec.json.encode(call.get('input')).decode()}]"
