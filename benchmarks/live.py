"""Live runs against the mock server: the dialogues of `workload`, over a real connection.

What runs is `profiler.run` in live mode, with a key that the mock server accepts.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from benchmarks import workload
from profiler.engine.options import Options
from profiler.engine.runner import run, run_sync
from profiler.provider.open import open_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client
    from profiler.provider.open import Lane

# a proxy from the environment must not be used for this machine
ENVIRON = {"ANTHROPIC_API_KEY": "mock", "no_proxy": "*"}

Seen = TypeVar("Seen", bound="Client")


def experiment(dataset: str | Path, *, base_url: str, concurrency: int) -> Experiment:
    return msgspec.structs.replace(workload.experiment(dataset, concurrency=concurrency), base_url=base_url)


def finished_run(
    dataset: str | Path, *, base_url: str, output_dir: Path, concurrency: int, lane: Lane = "fast"
) -> Path:
    """A whole live run with everything on. Returns its run directory."""
    os.environ.update(ENVIRON)
    asked = experiment(dataset, base_url=base_url, concurrency=concurrency)
    return run_sync(asked, options=Options(output_dir=output_dir, mode="live", lane=lane)).folder


def seen_run(asked: Experiment, *, output_dir: str | Path, seen: Callable[[Client], Seen]) -> Seen:
    """The same over the fast lane, watched by a client that passes calls on."""
    os.environ.update(ENVIRON)

    async def main() -> Seen:
        async with open_client(asked, mode="live", environ=os.environ) as client:
            watching = seen(client)
            await run(asked, options=Options(output_dir=Path(output_dir), mode="live"), client=watching)
        return watching

    return anyio.run(main, backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None})
