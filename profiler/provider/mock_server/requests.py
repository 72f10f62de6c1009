"""What a request of the Messages API must look like, checked as strictly as the provider does.

Comes in: headers and the bytes of a body. Goes out: a checked struct, or the `ApiError` that the provider would send.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from profiler.core.json import encode
from profiler.provider.mock_server.settings import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = ("2023-06-01", "2026-10-21")
SAMPLING_VERSION = "2023-06-01"  # the newer one knows no sampling parameters, not even at their defaults
SAMPLING = ("temperature", "top_p", "top_k")

Text = Annotated[str, Meta(min_length=1)]
Blocks = Annotated[list[dict[str, Any]], Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Said(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str | Blocks


class Prompt(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What creating a message and counting its tokens have in common."""

    model: Text
    messages: Annotated[list[Said], Meta(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    thinking: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    speed: Literal["standard", "fast"] | None = None
    user_profile_id: str | None = None

    @property
    def turn(self) -> int:
        """How many replies the conversation already holds."""
        return sum(said.role == "assistant" for said in self.messages)

    def asked(self) -> tuple[str, str]:
        """The last and the first text of the user."""
        texts = [text_of(said.content) for said in self.messages if said.role == "user"] or [""]
        return texts[-1], texts[0]

    def content(self) -> bytes:
        """All that costs input tokens, and nothing that differs between two ways to send it."""
        counted = {"system": self.system, "messages": self.messages}
        return encode({**counted, "tools": self.tools} if self.tools else counted)


class NewMessage(Prompt, kw_only=True, forbid_unknown_fields=True):
    max_tokens: Count
    stream: bool = False
    stop_sequences: list[str] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    inference_geo: str | None = None
    container: str | dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None


_new_message = msgspec.json.Decoder(NewMessage)
_prompt = msgspec.json.Decoder(Prompt)


def authenticate(headers: Mapping[str, str], key: str | None) -> None:
    given = headers.get("x-api-key", "")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if not given and scheme.lower() == "bearer":
        given = token.strip()
    if not given:
        raise ApiError(401, "authentication_error", "x-api-key or authorization header is required")
    if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
        raise ApiError(401, "authentication_error", "invalid x-api-key")


def api_version(headers: Mapping[str, str]) -> str:
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f"anthropic-version: {version[:40]!r} is not a valid version, expected one of {VERSIONS}")
    return version


def read_message(body: bytes, *, version: str) -> NewMessage:
    wanted: NewMessage = _decode(_new_message, body)
    if version != SAMPLING_VERSION:
        for name in SAMPLING:
            if getattr(wanted, name) is not None:
                raise invalid(f"{name}: is not supported with anthropic-version {version}")
    known_model(wanted.model)
    return wanted


def read_prompt(body: bytes) -> Prompt:
    prompt: Prompt = _decode(_prompt, body)
    known_model(prompt.model)
    return prompt


def known_model(model: str) -> None:
    if not model.startswith("claude-"):
        raise ApiError(404, "not_found_error", f"model: {model[:100]}")


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        raise invalid(f"{place.strip('`').removeprefix('$').removeprefix('.')}: {problem}".removeprefix(": ")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None


def text_of(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
