"""Every lane sends the same request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from profiler.provider.requests import API_VERSION
from tests.profiler.provider.asked_over import ALL_LANES, answered, as_asked, experiment, request_for
from tests.profiler.provider.loopback import KEY, serving

if TYPE_CHECKING:
    from profiler.provider.open import Lane
    from tests.profiler.provider.loopback import Asked

EVERYTHING: dict[str, Any] = {
    "system": "Be brief.",
    "stop_sequences": ("END",),
    "thinking": {"type": "adaptive"},
    "effort": "high",
    "temperature": 0.5,
    "top_k": 3,
}


async def sent(lane: Lane, **settings: Any) -> Asked:
    async with serving(lambda _: as_asked(lane)) as server:
        await answered(lane, server, **settings)
        return server.asked[0]


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_every_lane_sends_the_same_body(lane: Lane) -> None:
    body = json.loads((await sent(lane, **EVERYTHING)).body)
    body.pop("stream", None)

    assert body == json.loads(request_for(experiment("http://x", **EVERYTHING)).body)


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_sampling_parameters_pin_the_version_that_takes_them(lane: Lane) -> None:
    assert (await sent(lane, temperature=0.5)).headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_without_sampling_parameters_the_version_is_the_pinned_one(lane: Lane) -> None:
    assert (await sent(lane)).headers["anthropic-version"] == API_VERSION


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_every_lane_shows_the_key_in_the_same_way(lane: Lane) -> None:
    asked = await sent(lane)

    assert (asked.head.split()[1], asked.headers["authorization"]) == ("/v1/messages", f"Bearer {KEY}")


async def test_the_fast_lane_does_not_pass_for_the_sdk() -> None:
    headers = (await sent("fast")).headers

    assert headers["user-agent"].startswith("experiment-profiler/")
    assert not [name for name in headers if name.startswith("x-stainless")]
