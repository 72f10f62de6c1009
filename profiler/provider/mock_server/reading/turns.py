"""Which blocks may stand where in a conversation: who says what, and that each call of a tool gets its one result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from profiler.provider.mock_server.reading.prompts import Prompt, Said

Block = dict[str, Any]

SAID_BY = {
    "tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
    "tool_result": "user",
}
THOUGHTS = ("thinking", "redacted_thinking")


def check(prompt: Prompt) -> None:
    """Raise what the API would say against the order of blocks."""
    for at, said in enumerate(prompt.messages):
        for block in _blocks(said):
            speaker = SAID_BY.get(block["type"], said.role)
            if said.role != speaker:
                raise invalid(f"messages.{at}: `{block['type']}` blocks can only be in `{speaker}` messages")
    if (prompt.thread or {}).get("type") != "continue":  # else a call may be in the part that the server holds
        _check_calls(prompt)


def check_thinking_again(prompt: Prompt) -> None:
    """A model that thinks within a budget must get its last thought back before it goes on, after a prefill or a
    tool."""
    spoken = [at for at, said in enumerate(prompt.messages) if said.role == "assistant"]
    if not spoken:
        return
    at = spoken[-1]
    goes_on = at == len(prompt.messages) - 1 or any(
        block["type"] == "tool_result" for said in prompt.messages[at + 1 :] for block in _blocks(said)
    )
    content = prompt.messages[at].content
    first = "text" if isinstance(content, str) else (content[0]["type"] if content else THOUGHTS[0])
    if goes_on and first not in THOUGHTS:
        raise invalid(
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block."
        )


def _blocks(said: Said) -> list[Block]:
    return [] if isinstance(said.content, str) else said.content


def _check_calls(prompt: Prompt) -> None:
    """Each call must be answered by the next message of the user, at its beginning, and nothing else may be answered."""
    called: set[str] = set()
    ever_called: set[str] = set()
    before = "user"
    for at, said in enumerate(prompt.messages):
        if said.role == "system":
            continue
        if said.role == "assistant":
            if before == "user":
                called = set()
            called |= _calls(_blocks(said), ever_called, at)
        else:
            answered = _answers(_blocks(said), called, at)
            _all_answered(called - answered, at)
            called = set()
        before = said.role
    _all_answered(called, len(prompt.messages))


def _calls(blocks: list[Block], ever_called: set[str], at: int) -> set[str]:
    called: set[str] = set()
    for index, block in enumerate(blocks):
        if block["type"] == "tool_use":
            if block["id"] in ever_called:
                raise invalid(f"messages.{at}.content.{index}: `tool_use` ids must be unique")
            ever_called.add(block["id"])
            called.add(block["id"])
        elif block["type"] == "text":
            _all_answered(called, at + 1)  # words after a call stand between it and its result
    return called


def _answers(blocks: list[Block], called: set[str], at: int) -> set[str]:
    """The calls that are answered at the beginning of a message; results after anything else come too late."""
    answered: set[str] = set()
    seen: set[str] = set()
    at_beginning = True
    for index, block in enumerate(blocks):
        if block["type"] != "tool_result":
            at_beginning = False
            continue
        name = block["tool_use_id"]
        if name not in called:
            raise invalid(
                f"messages.{at}.content.{index}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{name[:100]}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                "previous message."
            )
        if name in seen:
            raise invalid(
                f"messages.{at}.content.{index}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {name[:100]}"
            )
        seen.add(name)
        if at_beginning:
            answered.add(name)
    return answered


def _all_answered(called: set[str], at: int) -> None:
    if called:
        raise invalid(
            f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(called))[:300]}. Each `tool_use` block must have a corresponding `tool_result` block "
            "in the next message."
        )
