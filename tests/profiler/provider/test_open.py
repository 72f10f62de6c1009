"""Opening a client: the keys, addresses and proxies that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import UsageError
from profiler.manifest.settings import Experiment
from profiler.provider.open import open_client
from tests.profiler.provider.asked_over import ALL_LANES, asking, experiment, request_for
from tests.profiler.provider.loopback import KEY, MESSAGE, http, serving

if TYPE_CHECKING:
    from profiler.provider.open import Lane


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_the_key_is_not_in_what_a_client_says_of_itself(lane: Lane) -> None:
    async with asking(lane, f"http://user:{KEY}@127.0.0.1:1") as (client, _):
        assert KEY not in f"{client!r} {vars(client)} {client.describes}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_without_a_key_a_live_run_says_what_to_do(lane: Lane) -> None:
    with pytest.raises(UsageError, match="live mode needs ANTHROPIC_API_KEY") as caught:
        async with open_client(experiment("http://x"), mode="live", lane=lane, environ={}):
            pass

    assert "--mode mock" in (caught.value.hint or "")


async def test_the_base_url_comes_from_the_environment() -> None:
    asked = experiment("http://x")
    async with serving(lambda _: http(200, MESSAGE)) as server:
        environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": f"{server.url}/deep"}
        from_environment = Experiment(
            **{name: getattr(asked, name) for name in ("experiment_id", "model", "max_tokens", "dataset_path")}
        )
        async with open_client(from_environment, mode="live", environ=environ) as client:
            await client.complete(request_for(asked))

            assert server.url in client.describes  # type: ignore[attr-defined]
        assert server.asked[0].head.split()[1] == "/deep/v1/messages"


async def test_another_provider_goes_through_the_sdk() -> None:
    asked = experiment("http://127.0.0.1:1", provider="foundry")
    with pytest.raises(UsageError, match="reached through the SDK only"):
        async with open_client(asked, mode="live", lane="fast", environ={}):
            pass


async def test_a_provider_of_ones_own_is_asked_with_its_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "foundry-key")
    async with serving(lambda _: http(200, MESSAGE)) as server:
        asked = experiment(server.url, provider="foundry")
        async with open_client(asked, mode="live", environ={}) as client:
            reply = await client.complete(request_for(asked))

    assert reply.completion == "Paris."
    assert "foundry-key" in server.asked[0].headers.values()


async def test_a_provider_without_credentials_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_FOUNDRY_API_KEY", raising=False)
    with pytest.raises(UsageError, match="provider: cannot use foundry"):
        async with open_client(experiment("http://127.0.0.1:1", provider="foundry"), mode="live", environ={}):
            pass


@pytest.mark.parametrize("url", ["127.0.0.1:8089", "ftp://host", "http://host:port", "http://[::1", "https://"])
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_an_address_that_is_none_is_said_before_anything_is_asked(lane: Lane, url: str) -> None:
    asked = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d.json"))
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url}
    with pytest.raises(UsageError, match=r"ANTHROPIC_BASE_URL: found .* expected an address such as"):
        async with open_client(asked, mode="live", lane=lane, environ=environ):
            pass


async def test_a_password_in_an_address_that_is_none_is_not_shown() -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "user:hush@host"}
    asked = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d.json"))
    with pytest.raises(UsageError, match="ANTHROPIC_BASE_URL: found something else") as caught:
        async with open_client(asked, mode="live", environ=environ):
            pass

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://host:port", "http://[::1"])
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_proxy_that_is_none_is_said_before_anything_is_asked(
    lane: Lane, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    environ = {"ANTHROPIC_API_KEY": KEY, "HTTP_PROXY": proxy}
    with pytest.raises(UsageError, match="proxy"):
        async with open_client(experiment("http://example.invalid"), mode="live", lane=lane, environ=environ):
            pass
