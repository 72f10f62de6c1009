"""Reads requests of the Messages API: who asks, in which version, and what.

`read_message` and `read_prompt` take the bytes of a body, `check_message` what is decoded already, as batches hold it.
All give a checked struct or raise the `ApiError` that the provider would send. The shape is checked against the SDK's
types (`shapes`), and against `rules` what no type can say.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from profiler.core.json import JSONDecodeError, loads
from profiler.core.shapes import Mismatch, check
from profiler.provider.mock_server.reading import rules
from profiler.provider.mock_server.reading.prompts import NewMessage, Prompt, Said
from profiler.provider.mock_server.settings import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.provider.mock_server.reading.models import Model, Models

VERSIONS = ("2023-06-01", "2026-10-21")
SAMPLING_VERSION = "2023-06-01"  # the newer one knows no sampling parameters, not even at their defaults
SAMPLING = {"temperature": ((int, float), 0.0, 1.0), "top_p": ((int, float), 0.0, 1.0), "top_k": ((int,), 0, 1 << 31)}
LEAST_TOP_P_THINKING = 0.95
SAMPLING_KINDS = {"temperature": "number", "top_p": "number", "top_k": "integer"}


class PlainSaid(Said, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: Annotated[str, Meta(min_length=1)]


class PlainMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Text chat, which is most of all traffic: decoded and checked in one go. Anything else takes the long way."""

    model: str
    max_tokens: Annotated[int, Meta(ge=0)]
    messages: list[PlainSaid]
    system: str | UnsetType = UNSET
    stream: bool = False
    stop_sequences: list[str] | UnsetType = UNSET


Asked = TypeVar("Asked", bound=Prompt)

_plain = msgspec.json.Decoder(PlainMessage)


class Version(msgspec.Struct, frozen=True):
    """What the headers say of the API that a client speaks."""

    date: str
    beta: bool = False


UNSAID = Version("")  # before the headers were looked at


def authenticate(headers: Mapping[str, str], key: str | None) -> None:
    given = headers.get("x-api-key", "")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if not given and scheme.lower() == "bearer":
        given = token.strip()
    if not given:
        raise ApiError(401, "authentication_error", "x-api-key or authorization header is required")
    if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
        raise ApiError(401, "authentication_error", "invalid x-api-key")


def api_version(headers: Mapping[str, str], query: str = "") -> Version:
    date = headers.get("anthropic-version")
    if date is None:
        raise invalid("anthropic-version: header is required")
    if date not in VERSIONS:
        raise invalid(f"anthropic-version: {date[:40]!r} is not a valid version, expected one of {VERSIONS}")
    return Version(date, "anthropic-beta" in headers or "beta=true" in query)


def decode_plain(body: bytes) -> PlainMessage | None:
    """A request that is plain text chat; None for all others."""
    try:
        return _plain.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_message(body: bytes, *, version: Version, models: Models) -> NewMessage:
    """The bytes of a request to `/v1/messages`, checked."""
    plain = decode_plain(body)
    if plain is None:
        return check_message(_decoded(body), version=version, models=models)
    wanted = NewMessage(
        model=plain.model,
        messages=cast("list[Said]", plain.messages),
        system=None if plain.system is UNSET else plain.system,
        plain=True,
        max_tokens=plain.max_tokens,
        stream=plain.stream,
        stop_sequences=None if plain.stop_sequences is UNSET else plain.stop_sequences,
    )
    return _ruled(wanted, models)


def check_message(body: Any, *, version: Version, models: Models) -> NewMessage:
    """A decoded request for a message, checked: what `/v1/messages` takes, or the `params` of an item of a batch."""
    sampling = _sampling(body, version)
    _shaped("message", body, version=version, without=sampling)
    takes = models.find(body["model"])
    for name in sampling:
        _sampled(name, body[name], takes)
    if sampling:
        _sampled_together(body, takes)
    return _ruled(msgspec.convert(body, NewMessage), models)


def read_prompt(body: bytes, *, version: Version, models: Models) -> Prompt:
    """The bytes of a request to `/v1/messages/count_tokens`, checked."""
    value = _decoded(body)
    _shaped("count_tokens", value, version=version)
    return _ruled(msgspec.convert(value, Prompt), models)


def _ruled(prompt: Asked, models: Models) -> Asked:
    prompt.input_tokens = rules.check(prompt, models.find(prompt.model))
    return prompt


def _decoded(body: bytes) -> Any:
    try:
        return loads(body)
    except JSONDecodeError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None


def _shaped(root: str, body: Any, *, version: Version, without: tuple[str, ...] = ()) -> None:
    if without:
        body = {name: value for name, value in body.items() if name not in without}
    check_body(f"beta_{root}" if version.beta else root, body)


def check_body(root: str, body: Any) -> None:
    """Raise the API's error where `body` is not what the SDK's types allow for this kind of request."""
    try:
        check(root, body)
    except Mismatch as mismatch:
        place = ".".join(map(str, mismatch.path))
        raise invalid(f"{place}: {mismatch.problem}" if place else mismatch.problem) from None


def _sampling(body: Any, version: Version) -> tuple[str, ...]:
    """The sampling parameters that are set. The SDK's types no longer have them, and older clients still send them."""
    found = tuple(name for name in SAMPLING if isinstance(body, dict) and name in body)
    if found and version.date != SAMPLING_VERSION:
        raise invalid(f"{found[0]}: is not supported with anthropic-version {version.date}")
    return found


def _sampled(name: str, value: Any, takes: Model) -> None:
    kinds, low, high = SAMPLING[name]
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise invalid(f"{name}: Input should be a valid {SAMPLING_KINDS[name]}")
    if value < low:
        raise invalid(f"{name}: Input should be greater than or equal to {low:g}")
    if value > high:
        raise invalid(f"{name}: Input should be less than or equal to {high:g}")
    if not takes.sampling and not (name == "temperature" and value == 1):
        raise invalid(f"`{name}` is deprecated for this model.")


def _sampled_together(body: dict[str, Any], takes: Model) -> None:
    """What the sampling parameters do not allow beside each other, and beside thinking."""
    if takes.one_sampling and "temperature" in body and "top_p" in body:
        raise invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if (body.get("thinking") or {}).get("type") not in ("adaptive", "enabled"):
        return
    if body.get("temperature", 1) != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
    if "top_k" in body:
        raise invalid("`top_k` must be unset when thinking is enabled or in adaptive mode.")
    if body.get("top_p", 1) < LEAST_TOP_P_THINKING:
        raise invalid("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
