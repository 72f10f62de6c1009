"""The Claude Agent SDK, which runs the program behind Claude Code: its plain chat, its tool call, its structured output."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, create_sdk_mcp_server, query, tool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checking import MODEL, run, sent

QUESTION = "What is the weather in Lisbon?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}


async def ended(**options: Any) -> ResultMessage:
    """Ask in a home of its own, without any of the tools that could touch this machine."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environ = {"HOME": home, "CLAUDE_CONFIG_DIR": home, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        wanted = ClaudeAgentOptions(model=MODEL, max_turns=20, cwd=home, env=environ, tools=[], **options)
        found = [message async for message in query(prompt=QUESTION, options=wanted)]
    (result,) = [message for message in found if isinstance(message, ResultMessage)]
    return result


async def check_it_chats() -> None:
    result = await ended()
    assert not result.is_error
    assert result.result


async def check_it_calls_a_tool() -> None:
    asked = []

    @tool("weather", "The weather of a city", {"city": str})
    async def weather(given: dict[str, Any]) -> dict[str, Any]:
        asked.append(given["city"])
        return {"content": [{"type": "text", "text": "sunny"}]}

    server = create_sdk_mcp_server("w", "1.0", tools=[weather])
    result = await ended(mcp_servers={"w": server}, allowed_tools=["mcp__w__weather"])
    assert not result.is_error
    assert asked
    assert {line["status"] for line in sent("endpoint=messages")} == {200}


async def check_it_gets_an_object() -> None:
    result = await ended(output_format={"type": "json_schema", "schema": SCHEMA})
    assert not result.is_error
    assert isinstance(result.structured_output["city"], str)


if __name__ == "__main__":
    run(globals())
