"""A stand-in for the Anthropic SDK, which every box has under the SDK's name.

It has the same interface, needs no network and is quick to import. A copy of this file is `anthropic/__init__.py` in
the box. It imports the standard library, and the answers from `tools.mark`, which only the grader's copy of the tools
has. An answer is a signature over the whole request, so a submission that asks for something else, or does not ask,
logs something else. Names it does not know are made up as classes that do nothing.
"""

import json
import os
import socket
import sys
import types as _types
from importlib.machinery import ModuleSpec
from typing import Any, Self

__version__ = "2.11.0"
NAME_BYTES = 100
DEFAULT_ADDRESS = "https://api.anthropic.com"
ARGUMENTS = frozenset(
    {
        *("max_tokens", "messages", "model", "cache_control", "container", "diagnostics", "inference_geo", "metadata"),
        *("output_config", "output_format", "service_tier", "speed", "stop_sequences", "stream", "system", "thinking"),
        *("tool_choice", "tools", "user_profile_id", "workspace_id", "extra_headers", "extra_query", "extra_body"),
        "timeout",
    }
)
REQUIRED = ("max_tokens", "messages", "model")


class AnthropicError(Exception):
    """The base of everything that the SDK raises."""


class APIError(AnthropicError):
    pass


class APIConnectionError(APIError):
    pass


class APITimeoutError(APIConnectionError):
    pass


class APIStatusError(APIError):
    status_code = 500


class NotGiven:
    def __bool__(self) -> bool:
        return False


NOT_GIVEN = NotGiven()
Omit = NotGiven
omit = NOT_GIVEN


class Record:
    """A message, a block or an event: attributes, also available as plain values."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"Record({vars(self)!r})"

    def to_dict(self, **_: Any) -> dict[str, Any]:
        return {name: plain(value) for name, value in vars(self).items()}

    model_dump = to_dict


def plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    return [plain(each) for each in value] if isinstance(value, list) else value


@_types.coroutine
def a_turn() -> Any:
    """For whoever else waits in the event loop. To import asyncio for it would take longer than all else here."""
    yield


# --- one request -----------------------------------------------------------------------------------------------------


def text_of(content: Any) -> str:
    """The text of some content: a string, or blocks as objects or as plain values."""
    if isinstance(content, str):
        return content
    return "".join(block["text"] if isinstance(block, dict) else block.text for block in content)


def given(value: Any) -> bool:
    return value is not None and not isinstance(value, NotGiven)


def answered(client: "Client", arguments: dict[str, Any]) -> Record:
    unknown = sorted(arguments.keys() - ARGUMENTS)
    if unknown:
        raise TypeError(f"Messages.create() got an unexpected keyword argument {unknown[0]!r}")
    missing = [name for name in REQUIRED if name not in arguments]
    if missing:
        raise TypeError(f"Missing required arguments; expected {', '.join(map(repr, missing))}")
    if not client.api_key:
        raise AnthropicError("Could not resolve authentication method")
    from tools.mark import WIRE, live_answer  # type: ignore[attr-defined] # noqa: PLC0415 (in the copy that lies inside)

    asked = [message if isinstance(message, dict) else vars(message) for message in arguments["messages"]]
    body = arguments.get("extra_body") or {}
    system = arguments.get("system")
    question = {
        "api_key": client.api_key,
        "base_url": client.base_url.rstrip("/"),
        "model": arguments["model"],
        "max_tokens": arguments["max_tokens"],
        "temperature": float(body["temperature"]) if "temperature" in body else None,
        "system": text_of(system) if given(system) else "",
        "user": "\0".join(text_of(message["content"]) for message in asked if message["role"] == "user"),
    }
    found = live_answer(**question) if WIRE is None else asked_outside(WIRE, question)
    if found["error"] is not None:
        raise made_up(found["error"])(f"{found['error']}: try again later")
    return message_of(found)


def asked_outside(path: str, question: dict[str, Any]) -> dict[str, Any]:
    """What the grader says, through the socket that lies at `path`, whose name may have 107 bytes only."""
    above, _, last = path.rpartition("/")
    folder = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            name = f"/proc/self/fd/{folder}/{last}"
            connection.connect(path if len(os.fsencode(path)) < NAME_BYTES else name)
            connection.sendall(json.dumps(question).encode())
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as said:
                found: dict[str, Any] = json.loads(said.read())
                return found
    finally:
        os.close(folder)


def message_of(found: dict[str, Any]) -> Record:
    blocks = [Record(type="text", text=text, citations=None) for text in found["texts"]]
    if found["thinks"]:
        blocks.insert(0, Record(type="thinking", thinking="Let me see.", signature="s"))
    return Record(
        id="msg_01",
        type="message",
        role="assistant",
        content=blocks,
        model=found["model"],
        stop_reason=found["stop_reason"],
        stop_sequence=None,
        usage=Record(**found["usage"], cache_creation_input_tokens=0, cache_read_input_tokens=0),
        _request_id="req_01",
    )


def events_of(message: Record) -> list[Record]:
    """The events of a stream, as they would arrive."""
    start = Record(**{**vars(message), "content": [], "stop_reason": None})
    events = [Record(type="message_start", message=start)]
    for index, block in enumerate(message.content):
        empty = Record(**{**vars(block), **({"text": ""} if block.type == "text" else {})})
        events.append(Record(type="content_block_start", index=index, content_block=empty))
        if block.type == "text":
            delta = Record(type="text_delta", text=block.text)
            events.append(Record(type="content_block_delta", index=index, delta=delta))
            events.append(Record(type="text", text=block.text, snapshot=block.text))
        events.append(Record(type="content_block_stop", index=index, content_block=block))
    end = Record(stop_reason=message.stop_reason, stop_sequence=None)
    events.append(Record(type="message_delta", delta=end, usage=message.usage))
    return [*events, Record(type="message_stop", message=message)]


class Stream:
    """What `stream` and `create(stream=True)` return: read once, with or without `with`."""

    def __init__(self, message: Record) -> None:
        self.message = message
        self.events = iter(events_of(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Any:
        return self.events

    @property
    def text_stream(self) -> Any:
        return iter([block.text for block in self.message.content if block.type == "text"])

    def get_final_message(self) -> Record:
        return self.message

    def get_final_text(self) -> str:
        return "".join(self.text_stream)

    def until_done(self) -> None:
        list(self.events)

    def close(self) -> None:
        self.events = iter(())

    @property
    def current_message_snapshot(self) -> Record:
        return self.message


class AsyncStream(Stream):
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.events = iter(())

    async def __aiter__(self) -> Any:
        for event in self.events:
            await a_turn()
            yield event

    @property
    async def text_stream(self) -> Any:
        for text in super().text_stream:
            await a_turn()
            yield text

    async def get_final_message(self) -> Record:  # type: ignore[override]
        return self.message

    async def get_final_text(self) -> str:  # type: ignore[override]
        return "".join(block.text for block in self.message.content if block.type == "text")

    async def until_done(self) -> None:  # type: ignore[override]
        list(self.events)

    async def close(self) -> None:  # type: ignore[override]
        self.events = iter(())


# --- the clients -----------------------------------------------------------------------------------------------------


class Raw:
    """What `with_raw_response` returns: a response that is parsed on request."""

    def __init__(self, messages: "Messages") -> None:
        self.messages = messages

    def create(self, **arguments: Any) -> Record:
        message = answered(self.messages.client, arguments)
        return Record(parse=lambda: message, headers={"request-id": "req_01"}, status_code=200, request_id="req_01")


class AsyncRaw(Raw):
    async def create(self, **arguments: Any) -> Record:  # type: ignore[override]
        return super().create(**arguments)


class Messages:
    def __init__(self, client: "Client") -> None:
        self.client = client

    def create(self, **arguments: Any) -> Any:
        message = answered(self.client, arguments)
        return Stream(message) if given(arguments.get("stream")) and arguments["stream"] else message

    def stream(self, **arguments: Any) -> Any:
        return Stream(answered(self.client, arguments))

    @property
    def with_raw_response(self) -> Raw:
        return Raw(self)


class AsyncMessages(Messages):
    async def create(self, **arguments: Any) -> Any:
        await a_turn()
        message = answered(self.client, arguments)
        return AsyncStream(message) if given(arguments.get("stream")) and arguments["stream"] else message

    def stream(self, **arguments: Any) -> Any:
        return AsyncStream(answered(self.client, arguments))

    @property
    def with_raw_response(self) -> Raw:
        return AsyncRaw(self)


class Client:
    def __init__(self, *, api_key: Any = None, base_url: Any = None, **settings: Any) -> None:
        self.settings = settings
        self.api_key = api_key if given(api_key) else os.environ.get("ANTHROPIC_API_KEY")
        address = base_url if given(base_url) else os.environ.get("ANTHROPIC_BASE_URL")
        self.base_url = str(address or DEFAULT_ADDRESS)

    @property
    def messages(self) -> Messages:
        return Messages(self)

    @property
    def beta(self) -> "Client":
        return self

    def with_options(self, **changes: Any) -> "Client":
        kept = {"api_key": self.api_key, "base_url": self.base_url, **self.settings}
        return type(self)(**{**kept, **changes})

    copy = with_options

    def close(self) -> Any:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Client):
    @property
    def messages(self) -> Messages:
        return AsyncMessages(self)

    async def close(self) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class Anthropic(Client):
    pass


class AsyncAnthropic(AsyncClient):
    pass


# --- all the rest ----------------------------------------------------------------------------------------------------


class Anything:
    """A class that nobody needs except to name it."""

    def __init__(self, *_: Any, **values: Any) -> None:
        vars(self).update(values)

    def __class_getitem__(cls, _: Any) -> type:
        return cls


def made_up(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    own = globals().get(name)
    if own is not None:
        return own
    bases = (APIStatusError,) if name.endswith(("Error", "Exception")) else (Anything,)
    globals()[name] = made = type(name, bases, {"__module__": "anthropic"})
    return made


class Submodules:
    """An import finder for `anthropic.types` and all other modules of the package; each has every name."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith("anthropic."):
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        module = _types.ModuleType(spec.name)
        module.__getattr__ = made_up  # type: ignore[method-assign]
        return module

    def exec_module(self, module: Any) -> None:
        """The module is empty."""


__getattr__ = made_up
if __name__ == "anthropic":
    sys.meta_path.insert(0, Submodules())
