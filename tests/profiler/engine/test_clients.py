"""Experiments that ask the same address share one client, for as long as one of them asks or will."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from profiler.engine import clients as clients_module
from profiler.engine.clients import Clients
from profiler.engine.options import Options
from profiler.engine.runner import run_all
from profiler.manifest.settings import Experiment
from profiler.provider.http.connections import Http
from profiler.provider.mock_server.server import MockServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def experiment(name: str, **settings: Any) -> Experiment:
    usual: dict[str, Any] = {"model": f"claude-{name}", "max_tokens": 8, "dataset_path": Path("d"), "concurrency": 2}
    return Experiment(experiment_id=name, **{**usual, **settings})


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes which clients are opened and closed, by their address."""
    seen: list[str] = []

    @asynccontextmanager
    async def opened(experiment: Experiment, **_: object) -> AsyncIterator[object]:
        seen.append(f"open {experiment.base_url}")
        yield object()
        seen.append(f"close {experiment.base_url}")

    monkeypatch.setattr(clients_module, "open_client", opened)
    return seen


def live(*experiments: Experiment) -> Clients:
    return Clients(experiments, options=Options(output_dir="runs", mode="live"))


async def test_one_client_serves_all_of_an_address_until_the_last_has_asked(doors: list[str]) -> None:
    one, other = experiment("a", base_url="x"), experiment("b", base_url="x")
    async with live(one, other) as clients:
        clients.begins(one)
        async with clients.of(one) as first:
            pass
        clients.begins(other)
        async with clients.of(other) as second:
            assert doors == ["open x"]
        assert first is second
        assert doors == ["open x", "close x"]


async def test_of_several_addresses_each_is_closed_when_nobody_asks_it(doors: list[str]) -> None:
    many = [experiment("a", base_url="x"), experiment("b", base_url="y"), experiment("c", base_url="x")]
    async with live(*many) as clients:
        clients.begins(many[0])
        clients.begins(many[1])
        async with clients.of(many[0]) as first, clients.of(many[1]) as second:
            assert first is not second
        assert doors == ["open x", "open y", "close y", "close x"]


async def test_what_others_that_never_begin_would_have_shared_is_closed_at_the_end(doors: list[str]) -> None:
    one, other = experiment("a", base_url="x"), experiment("b", base_url="x")
    async with live(one, other) as clients:
        clients.begins(one)
        async with clients.of(one):
            pass
        assert doors == ["open x"]
    assert doors == ["open x", "close x"]


async def test_experiments_of_one_address_use_each_others_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-none")
    dataset, connected = tmp_path / "d.jsonl", list[Http]()
    dataset.write_text("".join(json.dumps({"dialogue_id": f"d{at}", "user": "?"}) + "\n" for at in range(4)))
    really_connect = Http._connect

    async def connect(http: Http) -> Any:
        connected.append(http)
        return await really_connect(http)

    monkeypatch.setattr(Http, "_connect", connect)
    async with MockServer() as server:
        many = [experiment(name, dataset_path=dataset, base_url=server.base_url) for name in "abcdef"]
        ended = await run_all(many, options=Options(output_dir=tmp_path / "runs", mode="live", fsync="off"))
    assert all(each.result is not None for each in ended), [each.error for each in ended]
    assert 1 <= len(connected) < len(many)
