"""Opens the client for a run, whichever it is, and closes it when the run ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from profiler.core.errors import ManifestError, Problem, UsageError
from profiler.manifest.load import setting_problem
from profiler.manifest.rules import streamed_only
from profiler.provider.address import address_of
from profiler.provider.cloud import meant, platform_sdk, secrets
from profiler.provider.endpoint import (
    KEY,
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
from profiler.provider.mock import MockClient
from profiler.provider.redact import Redactor
from profiler.provider.sdk import SdkClient
from profiler.provider.stream import StreamClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from profiler.core.nouns import Mode
    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client

Lane = Literal["fast", "sdk", "stream", "sdk-stream"]


@asynccontextmanager
async def open_client(
    experiment: Experiment, *, mode: Mode, lane: Lane | None = None, environ: Mapping[str, str]
) -> AsyncIterator[Client]:
    """Open the client for one run. Without a `lane` it is the profiler's own, or the SDK's for providers that only it reaches."""
    lane = lane or ("stream" if experiment.stream else None)
    stream = lane in {"stream", "sdk-stream"}
    if mode == "live" and not stream and (wanted := streamed_only(experiment)):
        raise ManifestError([_not_streamed(experiment, name, at) for name, at in wanted.items()])
    if mode == "mock":
        yield MockClient(experiment.mock)
    elif experiment.provider != "anthropic":
        if lane == "fast":
            raise UsageError(
                f"provider: {experiment.provider} is reached through the SDK only", hint="use --client sdk or stream"
            )
        async with _platform(experiment, environ, stream=stream) as client:
            yield client
    elif lane in ("sdk", "sdk-stream"):
        async with _sdk(experiment, environ, stream=stream) as client:
            yield client
    else:
        async with _own(experiment, environ, stream=stream) as client:
            yield client


def _not_streamed(experiment: Experiment, name: str, at: tuple[str | int, ...]) -> Problem:
    message = f"found {name}, which is measured only where answers are streamed, and these are not"
    return setting_problem(experiment, at, message, hint="say stream: true in the manifest or --client stream")


@asynccontextmanager
async def _own(experiment: Experiment, environ: Mapping[str, str], *, stream: bool) -> AsyncIterator[Client]:
    endpoint = endpoint_of(experiment, environ)
    http = Http(endpoint.url, proxy=endpoint.proxy, kind=StreamConnection if stream else Connection)
    try:
        yield StreamClient(endpoint, http) if stream else FastClient(endpoint, http)
    finally:
        await http.aclose()


@asynccontextmanager
async def _sdk(experiment: Experiment, environ: Mapping[str, str], *, stream: bool) -> AsyncIterator[Client]:
    key, address = required_key(environ), address_of(experiment, environ)
    redact = redactor_for(address, custom_headers(experiment, environ), key=key)
    async with anthropic_sdk(experiment, environ, http_client=http_client()) as sdk:
        where = shown_place(address.url, proxy_for(address.url, environ))
        yield SdkClient(sdk, describes=f"{where}, {_path(stream=stream)}", redact=redact, stream=stream)


@asynccontextmanager
async def _platform(experiment: Experiment, environ: Mapping[str, str], *, stream: bool) -> AsyncIterator[Client]:
    async with platform_sdk(experiment, http_client=http_client()) as sdk:
        where = f"{experiment.provider} at {shown_place(str(sdk.base_url), proxy_for(str(sdk.base_url), environ))}"
        redact = Redactor(environ.get(KEY), *secrets(environ))
        yield SdkClient(sdk, describes=f"{where}, {_path(stream=stream)}", redact=redact, stream=stream, meant=meant)


def _path(*, stream: bool) -> str:
    return "the SDK's own path" + (", streamed" if stream else "")
