"""Runs in live mode against a mock server in this process: it plays scripted faults and counts what it was asked.

After every run the helpers look for the API key in everything that was written or printed. Runs are seen from outside
only, through the command line and the files.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from profiler.cli.main import main
from profiler.core.json import dumps
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.faults.runs import Ended, Site
from tests.faults.shim import sitecustomize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.context import ForkServerProcess

KEY = "sk-ant-secret-0123456789"
MESSAGES = "/v1/messages"
PATIENCE_S = 60


class Provider(NamedTuple):
    """A mock server that runs in a thread of its own."""

    server: MockServer

    @property
    def url(self) -> str:
        return self.server.base_url

    @property
    def stats(self) -> dict[str, Any]:
        return self.server.stats

    @property
    def calls(self) -> int:
        return int(self.stats["requests"]["by_endpoint"].get(MESSAGES, 0))

    def asked(self) -> dict[str, int]:
        """How often each dialogue was asked, calls that failed included."""
        return {name: each["asked"] for name, each in self.stats["asked"]["each"].items()}


@contextmanager
def provider(site: Site, *script: Any, **settings: Any) -> Iterator[Provider]:
    """Serve the dialogues of a site, and point the site's runs at the server.

    A later server of the same site takes the address of the first, because a run directory refuses answers from a
    second address.
    """
    if (before := site.environ.get("ANTHROPIC_BASE_URL")) is not None:
        settings["port"] = int(before.rpartition(":")[2])
    if script:
        path = site.folder / "script.json"
        path.write_bytes(dumps(list(script)))
        settings["script_path"] = path
    with MockServer(ServerSettings(dataset_path=site.dataset, **settings)) as server:
        site.environ["ANTHROPIC_BASE_URL"] = server.base_url
        yield Provider(server)


def live_site(folder: Path, items: Sequence[dict[str, Any]], **settings: Any) -> Site:
    site = Site(folder=folder, mode="live", environ={"ANTHROPIC_API_KEY": KEY})
    return site.write(items, client=None, **settings)


def live_run(site: Site, *words: str) -> Ended:
    """Run in this process; assert that the run ends in time and that nothing it wrote or printed holds the key."""
    began = time.monotonic()
    run = site.run_here(*words)
    assert time.monotonic() - began < PATIENCE_S
    assert_no_key(site, run.said)
    return run


def assert_no_key(site: Site, said: str) -> None:
    assert KEY not in said
    for path in site.folder.rglob("*"):
        if path.is_file() and path.name != "script.json":
            assert KEY.encode() not in path.read_bytes(), f"the key is in {path}"


# --- real processes, forked from one that has loaded what takes longer than the runs ------------------------------------

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["uvloop", "genai_prices", "profiler.cli.commands", __name__])


class Process(NamedTuple):
    """A run in a process that can be killed; its output goes to a file."""

    process: ForkServerProcess
    said_in: Path

    def wait(self, seconds: float) -> None:
        """Wait as `subprocess.Popen.wait` does."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.said_in.name, seconds)

    def kill(self) -> bool:
        """Kill the process; return whether it had not ended before."""
        self.process.kill()
        self.process.join(PATIENCE_S)
        return self.process.exitcode != 0


def start(site: Site, *words: str, die_before: str | None = None) -> Process:
    said_in = site.folder / f"{site.runs}.said"
    process = _forks.Process(
        target=_run,
        args=(site.command(*words)[3:], dict(site.environ)),
        kwargs={"folder": str(site.folder), "said_in": str(said_in), "die_before": die_before},
    )
    process.start()
    return Process(process, said_in)


def _run(words: list[str], environ: dict[str, str], *, folder: str, said_in: str, die_before: str | None) -> None:
    os.environ.update(environ)
    os.chdir(folder)
    said = os.open(said_in, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if die_before is not None:
        sitecustomize.die_before(*die_before.split(" ", 1))
    sys.exit(main(words))
