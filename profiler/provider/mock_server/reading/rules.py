"""The rules for a request that no type can say: who speaks when, what a model takes, which tools may be forced.

`check` raises the API's error for the first rule that is broken. The simplest mistakes come first, since the others may
only follow from them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from profiler.provider.mock_server.reading import schema_subset, token_counts, turns
from profiler.provider.mock_server.reading.prompts import NewMessage, Prompt, blocks_of
from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.provider.mock_server.reading.models import Model
    from profiler.provider.mock_server.reading.prompts import Content

MOST_MESSAGES = 100_000
MOST_BREAKPOINTS = 4
SMALLEST_BUDGET = 1024
HIGHEST_EFFORTS = ("xhigh", "max")  # at these, models that think by themselves do not stop thinking
FORCED = ("any", "tool")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def check(prompt: Prompt, takes: Model) -> int:
    """Raise what the API would say against this request; returns its input tokens, which one rule needs anyway."""
    if isinstance(prompt, NewMessage):
        _lengths(prompt, takes)
    _conversation(prompt, takes)
    if not prompt.plain:
        turns.check(prompt)
        _breakpoints(prompt)
        _thinking(prompt, takes)
        _tools(prompt, takes)
        if (schema := prompt.schema) is not None:
            schema_subset.check(schema, where="output_config.format.schema")
    tokens = token_counts.count(prompt)
    if tokens > takes.context:
        raise invalid(f"prompt is too long: {tokens} tokens > {takes.context} maximum")
    return tokens


def _lengths(wanted: NewMessage, takes: Model) -> None:
    if wanted.max_tokens < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    if wanted.max_tokens > takes.max_output:
        raise invalid(
            f"max_tokens: {wanted.max_tokens} > {takes.max_output}, "
            f"which is the maximum allowed number of output tokens for {wanted.model}"
        )
    if wanted.stop_sequences and any(not stop.strip() for stop in wanted.stop_sequences):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")


def _conversation(prompt: Prompt, takes: Model) -> None:
    messages = prompt.messages
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > MOST_MESSAGES:
        raise invalid(f"messages: at most {MOST_MESSAGES} messages are allowed, found {len(messages)}")
    for at, said in enumerate(messages):
        if said.role == "system" and not takes.system_turns:
            raise invalid(f"messages.{at}: role 'system' is not supported on this model")
        if not said.content:
            if said.role == "system" or (said.role == "assistant" and at == len(messages) - 1):
                continue
            raise invalid(f"messages.{at}: {said.role} messages must have non-empty content")
        _texts(said.content, where="messages")
    if prompt.system:
        _texts(prompt.system, where="system")
    last = messages[-1]
    if last.role == "assistant":
        _prefill(last.content, takes)


def _texts(content: Content, *, where: str) -> None:
    if isinstance(content, str):
        if content.isspace() and where == "messages":
            raise invalid("messages: text content blocks must contain non-whitespace text")
        return
    for block in content:
        text = block.get("text") if block["type"] == "text" else "-"
        if not text:
            raise invalid(f"{where}: text content blocks must be non-empty")
        if not text.strip():
            raise invalid(f"{where}: text content blocks must contain non-whitespace text")


def _prefill(content: Content, takes: Model) -> None:
    if not takes.prefill:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    text = content if isinstance(content, str) else (content[-1].get("text", "") if content else "")
    if text != text.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def marks(prompt: Prompt) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where something is marked for the cache, in the order in which the prompt is read: tools, system, messages."""
    for at, tool in enumerate(prompt.tools or ()):
        yield from _marks_in(tool, f"tools.{at}")
    for at, block in enumerate(blocks_of(prompt.system)):
        yield from _marks_in(block, f"system.{at}")
    for number, said in enumerate(prompt.messages):
        for at, block in enumerate(blocks_of(said.content)):
            yield from _marks_in(block, f"messages.{number}.content.{at}")
    if prompt.cache_control:
        yield "", prompt.cache_control


def _marks_in(block: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(inner := block.get("content"), list):
        for at, each in enumerate(inner):
            if isinstance(each, dict):
                yield from _marks_in(each, f"{place}.content.{at}")
    if mark := block.get("cache_control"):
        yield f"{place}.", mark


def _breakpoints(prompt: Prompt) -> None:
    found = list(marks(prompt))
    if len(found) > MOST_BREAKPOINTS:
        raise invalid(f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(found)}.")
    short = False
    for place, mark in found:
        if mark.get("ttl", "5m") == "5m":
            short = True
        elif short:
            raise invalid(
                f"{place}cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
                "`messages`."
            )


def _thinking(prompt: Prompt, takes: Model) -> None:
    effort = (prompt.output_config or {}).get("effort")
    if effort is not None and not takes.efforts:
        raise invalid("This model does not support the effort parameter.")
    if effort is not None and effort not in takes.efforts:
        raise invalid(
            f"output_config.effort: {effort!r} is not supported for this model, it takes {', '.join(takes.efforts)}"
        )
    kind = (prompt.thinking or {}).get("type")
    if kind is None:
        return
    if kind == "adaptive" and kind not in takes.thinking:
        raise invalid("adaptive thinking is not supported on this model")
    if kind not in takes.thinking:
        hint = ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        raise invalid(f'"thinking.type.{kind}" is not supported for this model.{hint if kind == "enabled" else ""}')
    if kind == "enabled":
        _budget(prompt)
        turns.check_thinking_again(prompt)
    if kind in ("disabled", "between_tools") and takes.thinks and effort in HIGHEST_EFFORTS:
        raise invalid(f'"thinking.type.{kind}" is not supported with output_config.effort {effort!r} for this model.')
    if kind in ("adaptive", "enabled") and (prompt.tool_choice or {}).get("type") in FORCED:
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _budget(prompt: Prompt) -> None:
    budget = (prompt.thinking or {})["budget_tokens"]
    if budget < SMALLEST_BUDGET:
        raise invalid(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {SMALLEST_BUDGET}")
    if isinstance(prompt, NewMessage) and prompt.max_tokens <= budget:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _tools(prompt: Prompt, takes: Model) -> None:
    names: list[str] = []
    for at, tool in enumerate(prompt.tools or ()):
        if tool.get("type") in (None, "custom"):
            _custom_tool(tool, where=f"tools.{at}.custom")
        if name := tool.get("name"):
            names.append(name)
    if len(names) > len(set(names)):
        raise invalid("tools: Tool names must be unique.")
    choice = prompt.tool_choice
    if choice is None:
        return
    if not prompt.tools and choice["type"] != "none":
        raise invalid("tool_choice: may only be specified while providing tools")
    if choice["type"] in FORCED and not takes.forced_tools:
        raise invalid('tool_choice: type "tool" and "any" are not supported for this model.')
    if choice["type"] == "tool" and choice["name"] not in names:
        raise invalid(f"Tool '{choice['name'][:100]}' not found in provided tools")


def _custom_tool(tool: dict[str, Any], *, where: str) -> None:
    if _TOOL_NAME.fullmatch(tool["name"]) is None:
        raise invalid(f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool["input_schema"]
    for keyword in ("oneOf", "allOf", "anyOf"):
        if keyword in schema:
            raise invalid(
                f"{where}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
            )
    if tool.get("strict"):
        schema_subset.check(schema, where=f"{where}.input_schema")
