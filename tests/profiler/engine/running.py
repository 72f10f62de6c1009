"""A run in this process by a client that counts what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from profiler.core.errors import (
    CallError,
    ProviderFailed,
)
from profiler.core.nouns import Reply, Request
from profiler.engine import runner
from profiler.engine.options import Options
from profiler.engine.result import Result
from profiler.manifest.settings import Experiment, MockSettings
from profiler.provider.mock import MockClient
from profiler.storage.names import REQUESTS, RESPONSES, SCORES, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.provider.client import Client

COUNT = 30
FILES = [REQUESTS, RESPONSES, SCORES, SUMMARY]


class Counting:
    """The mock, and which dialogues it was asked; may do something else first."""

    def __init__(self, settings: MockSettings | None = None, *, first: Callable[[Request], Any] | None = None) -> None:
        self.mock = MockClient(settings or MockSettings())
        self.first = first
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request.dialogue.dialogue_id)
        if self.first is not None:
            waiting = self.first(request)
            if waiting is not None:
                await waiting
        return await self.mock.complete(request)


def run_sync(experiment: Experiment, *, options: Options, client: Client | None = None, **others: Any) -> Result:
    """By the same client throughout: who answers is part of what a run is."""
    own = Counting(experiment.mock) if client is None and experiment.client is None else client
    return runner.run_sync(experiment, options=options, client=own, **others)


def changed(experiment: Experiment, **fields: Any) -> Experiment:
    return msgspec.structs.replace(experiment, **fields)


def options(folder: Path, **fields: Any) -> Options:
    return Options(output_dir=folder, **fields)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def interrupted_run(experiment: Experiment, folder: Path, *, after: int, **fields: Any) -> Counting:
    """A run whose provider gives up after so many answers."""

    def give_up(request: Request) -> None:
        if len(client.asked) > after:
            raise CallError("authentication", "no more", fatal=True)

    client = Counting(first=give_up)
    with pytest.raises(ProviderFailed):
        run_sync(experiment, options=options(folder, **fields), client=client)
    return client
