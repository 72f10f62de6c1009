"""Frameworks that stand on the Python SDK or beside it: their plain chat, their tool call and their structured output."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the internet for prices

import litellm
from inspect_ai.model import ChatMessageUser, GenerateConfig, ResponseSchema, get_model
from inspect_ai.tool import ToolFunction, tool
from inspect_ai.util import json_schema
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool as langchain_tool
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checking import ADDRESS, MODEL, run, sent

QUESTION = "What is the weather in Lisbon, and why?"
FUNCTION = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Report(BaseModel):
    city: str
    degrees: float
    words: list[str]


def langchain() -> ChatAnthropic:
    return ChatAnthropic(model=MODEL, max_tokens=300, max_retries=0)


def check_langchain_chats() -> None:
    message = langchain().invoke(QUESTION)
    assert message.text
    assert message.usage_metadata["input_tokens"] > 0


def check_langchain_streams() -> None:
    assert "".join(part.text for part in langchain().stream(QUESTION)) == langchain().invoke(QUESTION).text


def check_langchain_calls_a_tool() -> None:
    @langchain_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"

    (call,) = langchain().bind_tools([weather], tool_choice="weather").invoke(QUESTION).tool_calls
    assert isinstance(call["args"]["city"], str)
    assert weather.invoke(call).content.startswith("sunny")


def check_langchain_gets_an_object() -> None:
    assert isinstance(langchain().with_structured_output(Report).invoke(QUESTION), Report)
    assert isinstance(langchain().with_structured_output(Report, method="json_schema").invoke(QUESTION), Report)


async def check_pydantic_ai_chats() -> None:
    assert (await Agent(f"anthropic:{MODEL}").run(QUESTION)).output


async def check_pydantic_ai_streams() -> None:
    async with Agent(f"anthropic:{MODEL}").run_stream(QUESTION) as result:
        assert await result.get_output()


async def check_pydantic_ai_calls_tools() -> None:
    agent = Agent(f"anthropic:{MODEL}")
    asked = []

    @agent.tool_plain
    def weather(city: str) -> str:
        asked.append(city)
        return "sunny"

    result = await agent.run(QUESTION)
    assert result.output
    assert len(asked) >= len(sent("endpoint=messages")) - 1 >= 1


async def check_pydantic_ai_gets_an_object() -> None:
    for way in (ToolOutput, NativeOutput):
        assert isinstance((await Agent(f"anthropic:{MODEL}", output_type=way(Report)).run(QUESTION)).output, Report)


def ask_litellm(**options: object) -> object:
    messages = [{"role": "user", "content": QUESTION}]
    return litellm.completion(
        f"anthropic/{MODEL}", messages, api_base=ADDRESS, max_tokens=300, num_retries=0, **options
    )


def check_litellm_chats() -> None:
    reply = ask_litellm()
    assert reply.choices[0].message.content
    assert reply.usage.prompt_tokens > 0


def check_litellm_streams() -> None:
    text = "".join(part.choices[0].delta.content or "" for part in ask_litellm(stream=True))
    assert text == ask_litellm().choices[0].message.content


def check_litellm_calls_a_tool() -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    (call,) = ask_litellm(tools=[FUNCTION], tool_choice=choice).choices[0].message.tool_calls
    assert '"city"' in call.function.arguments


def check_litellm_gets_an_object() -> None:
    Report.model_validate_json(ask_litellm(response_format=Report).choices[0].message.content)


@tool
def weather():
    async def execute(city: str) -> str:
        """The weather of a city.

        Args:
            city: its name
        """
        return f"sunny in {city}"

    return execute


async def check_inspect_chats() -> None:
    output = await get_model(f"anthropic/{MODEL}").generate([ChatMessageUser(content=QUESTION)])
    assert output.completion
    assert output.usage.input_tokens > 0


async def check_inspect_calls_a_tool() -> None:
    model = get_model(f"anthropic/{MODEL}")
    output = await model.generate(QUESTION, tools=[weather()], tool_choice=ToolFunction("weather"))
    (call,) = output.message.tool_calls
    assert isinstance(call.arguments["city"], str)


async def check_inspect_gets_an_object() -> None:
    wanted = ResponseSchema(name="report", json_schema=json_schema(Report))
    output = await get_model(f"anthropic/{MODEL}").generate(QUESTION, config=GenerateConfig(response_schema=wanted))
    Report.model_validate_json(output.completion)


if __name__ == "__main__":
    run(globals())
