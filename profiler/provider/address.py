"""The address that a live run asks, taken from the manifest or the environment and brought into one form.

A name and password in the address are kept apart from it: they are sent, but never written to a file or a message.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import msgspec

from profiler.core.errors import UsageError
from profiler.core.wording import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from profiler.manifest.settings import Experiment

BASE_URL = "ANTHROPIC_BASE_URL"
ANTHROPIC = "https://api.anthropic.com"
PORTS = {"http": 80, "https": 443}
KEPT_IN_PATHS = "/%:@!$&'()*+,;=~[]^|\\"  # what the SDK does not quote either

# The SDK's own variables for other providers: a whole address first, else the region or resource that it makes one of.
PLACES = {
    "bedrock": ("ANTHROPIC_BEDROCK_BASE_URL", "AWS_REGION", "AWS_DEFAULT_REGION"),
    "vertex": ("ANTHROPIC_VERTEX_BASE_URL", "CLOUD_ML_REGION"),
    "foundry": ("ANTHROPIC_FOUNDRY_BASE_URL", "ANTHROPIC_FOUNDRY_RESOURCE"),
}


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One address, without a slash at its end: the path of a request is added to `url`. Its repr holds no secret."""

    url: str
    host: str  # as the Host header has it: without the port that belongs to the scheme
    login: str | None = None  # `name:password`, percent-encoded as in the address it came from
    told_by: str = ""  # the setting or variable that named it, for messages

    @property
    def authorization(self) -> str | None:
        """The header made of name and password. It is sent in place of the key, as the SDK does."""
        if self.login is None:
            return None
        name, _, password = self.login.partition(":")
        return f"Basic {b64encode(f'{unquote(name)}:{unquote(password)}'.encode()).decode()}"

    @property
    def with_login(self) -> str:
        """The address with its name and password, for the SDK, which takes them out again."""
        url = self.url if self.login is None else self.url.replace("://", f"://{self.login}@", 1)
        return f"{url}/"  # the SDK removes one slash from the end

    @property
    def secrets(self) -> list[str]:
        """The secrets that no message may show: the password, as written and decoded, and the header made of it."""
        password = (self.login or "").partition(":")[2]
        encoded = (self.authorization or "").removeprefix("Basic ")
        return [secret for secret in (password, unquote(password), encoded) if secret]

    def __repr__(self) -> str:
        return f"Address({self.url!r})"


def address_of(experiment: Experiment, environ: Mapping[str, str]) -> Address:
    """The address for the Anthropic API: the manifest's, else the environment's, else Anthropic's own."""
    if experiment.base_url is not None:
        return parsed(experiment.base_url, told_by="base_url")
    found = environ.get(BASE_URL)
    return parsed(found, told_by=BASE_URL) if found else parsed(ANTHROPIC, told_by="default")


def place_of(experiment: Experiment, environ: Mapping[str, str]) -> str:
    """Where a live run asks, as far as that is known before the first request.

    It belongs to the identity of a run, so that answers from two places never mix.
    """
    if experiment.provider == "anthropic":
        return address_of(experiment, environ).url
    if experiment.base_url is not None:
        return parsed(experiment.base_url, told_by="base_url").url
    for name in PLACES[experiment.provider]:
        if found := environ.get(name):
            return parsed(found, told_by=name).url if name.endswith("_BASE_URL") else f"{name}={printable(found)}"
    return "the provider's default"


def parsed(text: str, *, told_by: str) -> Address:
    """The address in `text`. Raises `UsageError`, whose message never shows a password, when it is not one."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
        host = _host(parts) if whole else ""
    except ValueError:
        whole, host, parts = False, "", urlsplit("")
    if not whole:
        raise UsageError(
            f"{told_by}: found {_shown(text)}, expected an address such as 'https://host' or 'http://127.0.0.1:8089'"
        )
    if parts.query:
        raise UsageError(
            f"{told_by}: found an address with a query (behind '?'), which the path of the API cannot follow",
            hint="ANTHROPIC_CUSTOM_HEADERS can carry what a gateway wants to know",
        )
    path = quote(parts.path, safe=KEPT_IN_PATHS)
    login, at, _ = parts.netloc.rpartition("@")
    return Address(
        url=f"{parts.scheme}://{host}{path.removesuffix('/')}", host=host, login=login if at else None, told_by=told_by
    )


def doubt_of(address: Address) -> str | None:
    """A warning for an address that is valid but probably a mistake."""
    if address.url.endswith("/v1"):
        return f"{address.told_by}: {address.url} ends with /v1, which is added to it: requests go to {address.url}/v1/messages"
    return None


def _host(parts: SplitResult) -> str:
    """The host (and port) in ASCII, as DNS takes it. Raises ValueError when it is not a host name."""
    name = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
    shown = f"[{name}]" if ":" in name else name
    return shown if parts.port in (None, PORTS[parts.scheme]) else f"{shown}:{parts.port}"


def _shown(text: str) -> str:
    # an address that does not parse may still hold a password before the @
    return repr(text) if "@" not in text else "something else"
