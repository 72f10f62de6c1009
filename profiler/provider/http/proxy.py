"""The proxy for an address, found in `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (in either case)."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from profiler.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy and the variable that named it, for messages."""

    host: str
    port: int
    variable: str
    authorization: str | None = None

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port} ({self.variable})"


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy to use for `url`, or None for a direct connection."""
    parts = urlsplit(url)
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if environ.get(variable):
                return None if _bypassed(parts, environ) else _parsed(environ[variable], variable)
    return None


def _bypassed(parts: SplitResult, environ: Mapping[str, str]) -> bool:
    """Whether `NO_PROXY` names the host: `*` is every host, `example.com` and `.example.com` it and its subdomains."""
    host = (parts.hostname or "").lower()
    with_port = f"{host}:{parts.port}"
    for word in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().replace(",", " ").split():
        name = word.lstrip(".")
        if word == "*" or any(each == name or each.endswith(f".{name}") for each in (host, with_port)):
            return True
    return False


def _parsed(text: str, variable: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or 80
    except ValueError as error:
        raise UsageError(f"{variable}: found no proxy ({error}), expected http://host:port") from error
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(
            f"{variable}: found a proxy of the kind {parts.scheme!r}, expected http://host:port",
            hint="--client sdk may know this kind of proxy",
        )
    authorization = None
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Proxy(host=parts.hostname, port=port, variable=variable, authorization=authorization)
