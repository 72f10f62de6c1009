"""Makes the client of each lane: over the profiler's own connections, the official SDK, or the SDK's clients for the
cloud platforms.

`open` chooses the lane.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from profiler.provider.address import address_of
from profiler.provider.cloud import meant, platform_sdk, secrets
from profiler.provider.endpoint import (
    anthropic_sdk,
    custom_headers,
    endpoint_of,
    http_client,
    redactor_for,
    required_key,
    shown_place,
)
from profiler.provider.fast import FastClient
from profiler.provider.http.connection import Connection
from profiler.provider.http.connections import Http
from profiler.provider.http.proxy import proxy_for
from profiler.provider.http.stream_connection import StreamConnection
from profiler.provider.redact import Redactor
from profiler.provider.sdk import SdkClient
from profiler.provider.source import KEY
from profiler.provider.stream import StreamClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client


@asynccontextmanager
async def own(experiment: Experiment, environ: Mapping[str, str], *, stream: bool) -> AsyncIterator[Client]:
    endpoint = endpoint_of(experiment, environ)
    http = Http(endpoint.url, proxy=endpoint.proxy, kind=StreamConnection if stream else Connection)
    try:
        yield StreamClient(endpoint, http) if stream else FastClient(endpoint, http)
    finally:
        await http.aclose()


@asynccontextmanager
async def by_sdk(experiment: Experiment, environ: Mapping[str, str], *, stream: bool) -> AsyncIterator[Client]:
    key, address = required_key(environ), address_of(experiment, environ)
    redact = redactor_for(address, custom_headers(experiment, environ), key=key)
    async with anthropic_sdk(experiment, environ, http_client=http_client()) as sdk:
        where = shown_place(address.url, proxy_for(address.url, environ))
        yield SdkClient(sdk, describes=f"{where}, {_path(stream=stream)}", redact=redact, stream=stream)


@asynccontextmanager
async def on_platform(experiment: Experiment, environ: Mapping[str, str], *, stream: bool) -> AsyncIterator[Client]:
    async with platform_sdk(experiment, http_client=http_client()) as sdk:
        where = f"{experiment.provider} at {shown_place(str(sdk.base_url), proxy_for(str(sdk.base_url), environ))}"
        redact = Redactor(environ.get(KEY), *secrets(environ))
        yield SdkClient(sdk, describes=f"{where}, {_path(stream=stream)}", redact=redact, stream=stream, meant=meant)


def _path(*, stream: bool) -> str:
    return "the SDK's own path" + (", streamed" if stream else "")
