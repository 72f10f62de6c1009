"""The official Python SDK: all that an agent does with it, without a change."""

from __future__ import annotations

import sys
from pathlib import Path

import anthropic
import pydantic
from anthropic import beta_tool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checking import MODEL, control, run, sent

USER = [{"role": "user", "content": "What is the weather in Lisbon, and why?"}]
OPTIONS = {"model": MODEL, "max_tokens": 300, "messages": USER}
WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
client = anthropic.Anthropic(max_retries=0)


class Report(pydantic.BaseModel):
    city: str
    degrees: float
    sky: str
    words: list[str]


def check_create() -> None:
    message = client.messages.create(**OPTIONS)
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id == sent("tail=1")[0]["request_id"]


def check_stream() -> None:
    whole = client.messages.create(**OPTIONS)
    with client.messages.stream(**OPTIONS) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text
    assert [block.type for block in final.content] == [block.type for block in whole.content]
    assert final.usage.output_tokens == whole.usage.output_tokens


def check_a_tool_that_is_forced() -> None:
    choice = {"type": "tool", "name": "weather"}
    message = client.messages.create(**OPTIONS, tools=[WEATHER], tool_choice=choice)
    (block,) = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert isinstance(block.input["city"], str)
    assert 1 <= block.input["days"] <= 7
    answered = [
        *USER,
        {"role": "assistant", "content": [each.to_dict() for each in message.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}]},
    ]
    again = client.messages.create(model=MODEL, max_tokens=300, messages=answered, tools=[WEATHER])
    assert again.content


def check_a_tool_that_is_streamed() -> None:
    choice = {"type": "tool", "name": "weather"}
    with client.messages.stream(**OPTIONS, tools=[WEATHER], tool_choice=choice) as stream:
        parts = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    (block,) = [block for block in final.content if block.type == "tool_use"]
    assert parts
    assert isinstance(block.input["city"], str)


def check_structured_output() -> None:
    message = client.messages.parse(**OPTIONS, output_format=Report)
    assert isinstance(message.parsed_output, Report)


def check_structured_output_with_thinking() -> None:
    options = {**OPTIONS, "model": "claude-sonnet-5", "max_tokens": 2000}
    message = client.messages.parse(**options, thinking={"type": "adaptive"}, output_format=Report)
    assert isinstance(message.parsed_output, Report)


def check_the_tool_runner() -> None:
    asked = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: its name
        """
        asked.append(city)
        return "sunny"

    runner = client.beta.messages.tool_runner(**OPTIONS, tools=[weather], max_iterations=20)
    last = runner.until_done()
    assert last.stop_reason == "end_turn"
    assert len(asked) >= len(sent("endpoint=messages")) - 1 >= 1


def check_count_tokens() -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=USER, tools=[WEATHER])
    assert counted.input_tokens == client.messages.create(**OPTIONS, tools=[WEATHER]).usage.input_tokens


def check_models() -> None:
    listed = list(client.models.list(limit=3))
    assert len(listed) > 3
    assert client.models.retrieve(listed[0].id) == listed[0]


def check_batches() -> None:
    requests = [{"custom_id": f"q{number}", "params": OPTIONS} for number in range(20)]
    batch = client.messages.batches.create(requests=requests)
    assert batch.processing_status == "in_progress"
    ended = client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.succeeded) == ("ended", 20)
    results = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
    assert set(results) == {f"q{number}" for number in range(20)}
    assert {result.type for result in results.values()} == {"succeeded"}
    assert [each.id for each in client.beta.messages.batches.list()] == [batch.id]
    client.messages.batches.delete(batch.id)


def check_a_batch_that_is_cancelled() -> None:
    control("faults", {"script": [{"fault": "batch-stuck", "share": 0.5}]})
    batch = client.messages.batches.create(requests=[{"custom_id": f"{n}", "params": OPTIONS} for n in range(10)])
    assert client.messages.batches.cancel(batch.id).processing_status == "canceling"
    types = sorted(line.result.type for line in client.messages.batches.results(batch.id))
    assert types == ["canceled"] * 5 + ["succeeded"] * 5


def check_files() -> None:
    made = client.beta.files.upload(file=("a.txt", b"hello", "text/plain"))
    assert client.beta.files.retrieve_metadata(made.id).size_bytes == 5
    assert [each.id for each in client.files.list()] == [made.id]
    control("files?filename=b.bin", b"of a tool")
    newest = next(iter(client.files.list()))
    assert client.files.download(newest.id).read() == b"of a tool"
    assert client.files.delete(made.id).id == made.id


def check_each_error_has_its_class() -> None:
    classes = {
        "400": anthropic.BadRequestError,
        "401": anthropic.AuthenticationError,
        "403": anthropic.PermissionDeniedError,
        "404": anthropic.NotFoundError,
        "409": anthropic.ConflictError,
        "422": anthropic.UnprocessableEntityError,
        "429": anthropic.RateLimitError,
        "500": anthropic.InternalServerError,
        "529": anthropic.InternalServerError,
        "reset": anthropic.APIConnectionError,
        "close": anthropic.APIConnectionError,
    }
    for fault, wanted in classes.items():
        control("faults", {"script": [fault]})
        try:
            client.messages.create(**OPTIONS)
        except wanted as error:
            if isinstance(error, anthropic.APIStatusError):
                assert error.body["error"]["type"]
                assert error.request_id
        else:
            raise AssertionError(f"{fault} raised nothing")


def check_it_tries_again() -> None:
    control("faults", {"script": ["529", {"fault": "429", "retry_after": "0"}, "500", "reset"]})
    trying = anthropic.Anthropic(max_retries=4)
    assert trying.messages.create(**OPTIONS).content
    counts = [line["headers"].get("x-stainless-retry-count") for line in sent("endpoint=messages")]
    assert counts == ["0", "1", "2", "3", "4"]


def check_a_stream_that_breaks_is_an_error() -> None:
    control("faults", {"script": ["stream-error"]})
    try:
        with client.messages.stream(**OPTIONS) as stream:
            stream.get_final_message()
    except anthropic.APIStatusError as error:
        assert error.body["error"]["type"] == "overloaded_error"
    else:
        raise AssertionError("the error in the stream was not raised")


def check_prompt_caching() -> None:
    system = [{"type": "text", "text": "Know this. " * 4000, "cache_control": {"type": "ephemeral"}}]
    first = client.messages.create(**OPTIONS, system=system).usage
    second = client.messages.create(**OPTIONS, system=system).usage
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens > 0
    assert first.cache_read_input_tokens == second.cache_creation_input_tokens == 0


def check_images_and_documents_are_counted_by_what_they_are() -> None:
    import base64

    data = base64.b64encode(b"x" * 300_000).decode()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    content = [image, {"type": "text", "text": "What is this?"}]
    counted = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": content}])
    assert counted.input_tokens < 10_000


async def check_the_client_that_awaits() -> None:
    async with anthropic.AsyncAnthropic() as waiting:
        message = await waiting.messages.create(**OPTIONS)
        async with waiting.messages.stream(**OPTIONS) as stream:
            assert (await stream.get_final_text()) == message.content[0].text


if __name__ == "__main__":
    run(globals())
