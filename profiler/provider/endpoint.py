"""Where a live run asks and as whom: settings and environment in, an `Endpoint` out.

The official SDK resolves the address, the headers and the API version; it is imported here and nowhere else but in
`sdk`, and only by live runs. The key is passed on explicitly, because the SDK would also take others that it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from profiler import __version__
from profiler.core.errors import UsageError
from profiler.provider.failures import Redactor
from profiler.provider.http.proxy import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anthropic import AsyncAnthropic

    from profiler.manifest.settings import Experiment
    from profiler.provider.http.proxy import Proxy

KEY, BASE_URL = "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"
PATH = "v1/messages"
# What the SDK says of itself would be untrue of the fast lane.
NOT_OURS = ("x-stainless-", "user-agent", "content-length", "host", "connection", "accept-encoding")


class Endpoint:
    """An address with what has to be said there. Its repr holds no secret."""

    def __init__(self, url: str, headers: Mapping[str, str], *, proxy: Proxy | None, redact: Redactor) -> None:
        self.url = url
        self.proxy = proxy
        self.redact = redact
        self._headers = dict(headers)
        self._heads: dict[str | None, bytes] = {}

    def head(self, api_version: str | None) -> bytes:
        """The head of a request, up to the length of its body."""
        if (head := self._heads.get(api_version)) is None:
            head = self._heads[api_version] = self._head(api_version)
        return head

    def _head(self, api_version: str | None) -> bytes:
        headers = self._headers if api_version is None else {**self._headers, "anthropic-version": api_version}
        parts = urlsplit(self.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if self.proxy is not None and parts.scheme == "http":
            target = f"http://{_host(self.url)}{target}"
            if self.proxy.authorization:
                headers = {**headers, "proxy-authorization": self.proxy.authorization}
        lines = [f"POST {target} HTTP/1.1", f"host: {_host(self.url)}", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "content-length: "]).encode("latin-1")

    @property
    def describes(self) -> str:
        """What can be told of it: where, and through what."""
        return told(self.url, self.proxy)


def told(url: str, proxy: Proxy | None) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(url)}" + (f" through the proxy {proxy}" if proxy is not None else "")


def required_key(environ: Mapping[str, str]) -> str:
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
    """The official client, which decides nothing that the engine decides: no retries, an explicit time-out."""
    from anthropic import AsyncAnthropic  # noqa: PLC0415 (takes over a second, and only live runs need it)

    return AsyncAnthropic(
        api_key=required_key(environ),
        base_url=_base_url(experiment, environ),
        max_retries=0,
        timeout=experiment.timeout_s,
        **options,
    )


def http_client() -> Any:
    """As many connections as there are calls, and no redirect: it would take the key along."""
    import anthropic  # noqa: PLC0415 (takes over a second, and only live runs need it)
    import httpx2  # noqa: PLC0415 (the SDK's own, and it has loaded it)

    everyone = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    try:
        return anthropic.DefaultAsyncHttpxClient(limits=everyone, follow_redirects=False)
    except (httpx2.InvalidURL, ImportError, ValueError) as error:
        raise UsageError(
            f"found a proxy in the environment that cannot be used: {error}",
            hint="look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY; http://host:port is understood",
        ) from error


def _base_url(experiment: Experiment, environ: Mapping[str, str]) -> str | None:
    if experiment.base_url is not None:
        return address(experiment.base_url, told_by="base_url")
    found = environ.get(BASE_URL)
    return address(found, told_by=BASE_URL) if found else None


def address(url: str, *, told_by: str) -> str:
    """The same address, which one can connect to; a password in it is not shown."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        shown = repr(url) if "@" not in url else "something else"
        raise UsageError(
            f"{told_by}: found {shown}, expected an address such as 'https://host' or 'http://127.0.0.1:8089'"
        )
    return url


async def resolve(experiment: Experiment, environ: Mapping[str, str]) -> Endpoint:
    """Let the SDK say where and as whom, then do without it. It gets a client that cannot send, which need not load
    certificates: that would take longer than everything else here."""
    import httpx2  # noqa: PLC0415 (the SDK's own)

    silent = httpx2.AsyncClient(transport=httpx2.AsyncBaseTransport(), trust_env=False)
    async with anthropic_sdk(experiment, environ, http_client=silent) as sdk:
        headers = {name.lower(): value for name, value in sdk.default_headers.items() if isinstance(value, str)}
        headers |= {name.lower(): value for name, value in sdk.auth_headers.items()}
        url = f"{str(sdk.base_url).rstrip('/')}/{PATH}"
    headers = {name: value for name, value in headers.items() if not name.startswith(NOT_OURS)}
    headers |= {"user-agent": f"experiment-profiler/{__version__}", "accept-encoding": "identity"}
    for name, value in headers.items():
        if not (value.isprintable() and name.isprintable()):
            raise UsageError(f"the header {name!r} holds characters that cannot be sent (not shown)")
    return Endpoint(url, headers, proxy=proxy_for(url, environ), redact=Redactor(environ.get(KEY, "").strip()))


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
