"""Where a live run asks and with which headers: an `Endpoint` made from the experiment and the environment.

The fast lane writes its headers itself, exactly as the official SDK would (a test compares the two), because importing
the SDK takes more than a second. Only the lanes that use the SDK import it. The key is always passed to it explicitly:
left alone, the SDK would also pick up other credentials that it finds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from profiler import __version__
from profiler.core.errors import UsageError
from profiler.provider.address import address_of
from profiler.provider.http.proxy import proxy_for
from profiler.provider.redact import Redactor
from profiler.provider.requests import api_version_of
from profiler.provider.source import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anthropic import AsyncAnthropic

    from profiler.manifest.settings import Experiment
    from profiler.provider.address import Address
    from profiler.provider.http.proxy import Proxy

CUSTOM_HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
PATH = "/v1/messages"
# the sender sets these: they describe the bytes that follow
OURS_ALONE = frozenset({"content-length", "transfer-encoding", "accept-encoding"})
SECRET_HEADERS = re.compile(r"authorization|cookie|key|token|secret|password")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Endpoint:
    """An address and the headers to send there. Its repr holds no secret."""

    def __init__(self, address: Address, headers: Mapping[str, str], *, proxy: Proxy | None, redact: Redactor) -> None:
        self.url = f"{address.url}{PATH}"
        self.proxy = proxy
        self.redact = redact
        self._host = address.host
        self._headers = dict(headers)
        self._heads: dict[str | None, bytes] = {}

    def head(self, api_version: str | None) -> bytes:
        """The request line and the headers, up to the value of content-length, which `Connection.ask` adds."""
        if (head := self._heads.get(api_version)) is None:
            head = self._heads[api_version] = self._head(api_version)
        return head

    def _head(self, api_version: str | None) -> bytes:
        headers = {"host": self._host, **self._headers}
        if api_version is not None:
            headers["anthropic-version"] = api_version
        parts = urlsplit(self.url)
        target = parts.path
        if self.proxy is not None and parts.scheme == "http":
            # A proxy is told the whole address of a plain HTTP request; HTTPS goes through a tunnel (see
            # `connections`).
            target = f"http://{self._host}{target}"
            if self.proxy.authorization:
                headers["proxy-authorization"] = self.proxy.authorization
        lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "content-length: "]).encode()

    @property
    def describes(self) -> str:
        """The endpoint for messages, without secrets: the host, and the proxy in between."""
        return shown_place(self.url, self.proxy)


def endpoint_of(experiment: Experiment, environ: Mapping[str, str]) -> Endpoint:
    key, address = required_key(environ), address_of(experiment, environ)
    custom = custom_headers(experiment, environ)
    headers = {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": f"experiment-profiler/{__version__}",
        "authorization": f"Bearer {key}",
        **custom,
        # behind the custom headers, which must not ask for compression
        "accept-encoding": "identity",
    }
    if address.authorization is not None:
        headers["authorization"] = address.authorization
    return Endpoint(
        address, headers, proxy=proxy_for(address.url, environ), redact=redactor_for(address, custom, key=key)
    )


def redactor_for(address: Address, custom: Mapping[str, str], *, key: str) -> Redactor:
    """Hides the key, the password of the address, and custom headers whose names sound secret."""
    return Redactor(key, *address.secrets, *(custom[name] for name in custom if SECRET_HEADERS.search(name)))


def custom_headers(experiment: Experiment, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers that `ANTHROPIC_CUSTOM_HEADERS` adds, one a line, names in lower case. The SDK reads it too."""
    found: dict[str, str] = {}
    for line in environ.get(CUSTOM_HEADERS, "").split("\n"):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if colon:
            found[name.lower()] = value
    for name, value in found.items():
        if not (_NAME.fullmatch(name) and value.isprintable()):
            raise UsageError(f"{CUSTOM_HEADERS}: the header {name!r} holds characters that cannot be sent (not shown)")
        if name in OURS_ALONE:
            raise UsageError(f"{CUSTOM_HEADERS}: {name!r} cannot be set: it says what the bytes of a request are")
    version = found.get("anthropic-version")
    # The API version is part of a run's identity, so it may not change behind the manifest's back.
    if version not in (None, api_version_of(experiment)):
        raise UsageError(
            f"{CUSTOM_HEADERS}: asks for anthropic-version {version}, the run sends {api_version_of(experiment)}",
            hint=f"say api_version: {version!r} in the manifest, where it belongs to what the run is",
        )
    return found


def shown_place(url: str, proxy: Proxy | None) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" + (f" through the proxy {proxy}" if proxy is not None else "")


def required_key(environ: Mapping[str, str]) -> str:
    """The API key. Raises `UsageError`, which never shows it, when there is none or when it cannot be one."""
    key = environ.get(KEY, "").strip()
    if not key:
        raise UsageError(
            f"live mode needs {KEY}, which is not set",
            hint=f"export {KEY}=…, or use --mode mock, which asks nobody and spends nothing",
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError(f"{KEY}: found characters that no key has (not shown)", hint="was it pasted whole?")
    return key


def anthropic_sdk(experiment: Experiment, environ: Mapping[str, str], **options: Any) -> AsyncAnthropic:
    """The official client, with no retries of its own and a fixed time-out: both are the engine's business."""
    from anthropic import AsyncAnthropic  # noqa: PLC0415 (takes over a second, and only its own lanes need it)

    return AsyncAnthropic(
        api_key=required_key(environ),
        base_url=address_of(experiment, environ).with_login,
        max_retries=0,
        timeout=experiment.timeout_s,
        **options,
    )


def http_client() -> Any:
    """The SDK's HTTP client without a limit on connections, and without redirects, which would pass the key on."""
    import anthropic  # noqa: PLC0415 (takes over a second, and only its own lanes need it)
    import httpx2  # noqa: PLC0415 (the SDK's own, and it has loaded it)

    everyone = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    try:
        return anthropic.DefaultAsyncHttpxClient(limits=everyone, follow_redirects=False)
    except (httpx2.InvalidURL, ImportError, ValueError) as error:
        raise UsageError(
            f"found a proxy in the environment that cannot be used: {error}",
            hint="look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY; http://host:port is understood",
        ) from error
