"""Opens the client for a run, whichever it is, and closes it when the run ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from profiler.core.errors import ManifestError, Problem, UsageError
from profiler.manifest.load import setting_problem
from profiler.manifest.rules import streamed_only
from profiler.provider.mock import MockClient

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
        return
    from profiler.provider import lanes  # noqa: PLC0415 (the mock needs none)

    if experiment.provider != "anthropic":
        if lane == "fast":
            raise UsageError(
                f"provider: {experiment.provider} is reached through the SDK only", hint="use --client sdk or stream"
            )
        way = lanes.on_platform
    else:
        way = lanes.by_sdk if lane in ("sdk", "sdk-stream") else lanes.own
    async with way(experiment, environ, stream=stream) as client:
        yield client


def _not_streamed(experiment: Experiment, name: str, at: tuple[str | int, ...]) -> Problem:
    message = f"found {name}, which is measured only where answers are streamed, and these are not"
    return setting_problem(experiment, at, message, hint="say stream: true in the manifest or --client stream")
