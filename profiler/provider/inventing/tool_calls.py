"""Which tools an answer calls, and with what: forced, or drawn where the model may choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from profiler.provider.inventing.schema_values import NoValue, draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

SEVERAL = 0.25  # of the answers that may call tools in parallel
MOST_CALLS = 3
# What the provider's own client tools are called with; those that run at the provider are never called.
OWN_TOOLS: dict[str, dict[str, Any]] = {
    "bash_": {"command": "ls"},
    "text_editor_": {"command": "view", "path": "/"},
    "memory_": {"command": "view", "path": "/memories"},
    "computer_2": {"action": "screenshot"},
}


class Said(Protocol):
    """One message."""

    @property
    def role(self) -> str: ...

    @property
    def content(self) -> Any: ...


class Prompt(Protocol):
    """What a request says about tools, and the conversation so far."""

    @property
    def tools(self) -> Sequence[dict[str, Any]] | None: ...

    @property
    def tool_choice(self) -> dict[str, Any] | None: ...

    @property
    def messages(self) -> Sequence[Said]: ...


def calls(prompt: Prompt, random: Random, *, rate: float) -> list[dict[str, Any]]:
    """The `tool_use` blocks of an answer; none where it has only text. `rate` is how often `auto` calls a tool."""
    choice = prompt.tool_choice or {"type": "auto"}
    tools = [tool for tool in prompt.tools or () if _example(tool, random) is not None]
    if choice["type"] == "tool":
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
        return [_call(tool, random) for tool in tools]
    tools = [tool for tool in tools if not tool.get("defer_loading")]
    if not tools or choice["type"] == "none":
        return []
    if choice["type"] == "auto" and random.random() >= rate / 2 ** _rounds(prompt):
        return []
    count = 1
    if not choice.get("disable_parallel_tool_use") and random.random() < SEVERAL:
        count = random.randint(2, MOST_CALLS)
    return [_call(random.choice(tools), random) for _ in range(count)]


def _rounds(prompt: Prompt) -> int:
    """How often tools have answered since somebody last said something; each halves the wish for more."""
    rounds = 0
    for said in reversed(prompt.messages):
        if said.role != "user":
            continue
        blocks = said.content if isinstance(said.content, list) else ()
        if not any(block["type"] == "tool_result" for block in blocks):
            break
        rounds += 1
    return rounds


def _call(tool: dict[str, Any], random: Random) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{random.getrandbits(96):024x}",
        "name": tool["name"],
        "input": _example(tool, random),
        "caller": {"type": "direct"},
        "toolset_name": None,
    }


def _example(tool: dict[str, Any], random: Random) -> dict[str, Any] | None:
    """An input that the tool takes; None for a tool that this server does not call."""
    kind = tool.get("type") or "custom"
    if kind != "custom":
        return next((dict(given) for prefix, given in OWN_TOOLS.items() if kind.startswith(prefix)), None)
    try:
        value = draw(tool["input_schema"], random)
    except NoValue:
        return None
    return value if isinstance(value, dict) else {}
