"""Shards in a folder whose file system knows no locks: here the system call itself says so, in every process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from profiler.manifest.settings import MockSettings
from tests.faults.runs import wait_until
from tests.profiler.fleet.sites import by_one, dataset, experiment, results

COMPILER = shutil.which("cc")
SHIM = """
#include <errno.h>
int flock(int fd, int operation) { errno = ENOLCK; return -1; }
"""
SLOW = "mock: {latency_s: 0.05, faults: {server_error: 0.05}}"
MANIFEST = "{{experiment_id: shared, model: claude-haiku-4-5, max_tokens: 64, dataset_path: dialogues.jsonl, {}}}"

pytestmark = [pytest.mark.long, pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")]


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.claims = folder / "runs/shared/fleet/claims"
        dataset(folder, 400)
        (folder / "manifest.yaml").write_text(MANIFEST.format(f"log_schema_version: 1, concurrency: 4, {SLOW}"))
        (folder / "shim.c").write_text(SHIM)
        shim = folder / "shim.so"
        subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", shim, folder / "shim.c"], check=True)
        kept = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
        self.environment = {**kept, "LD_PRELOAD": str(shim)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "profiler", *words, "--config", "manifest.yaml", "--quiet"]
        told: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **told)

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said = process.communicate(timeout=120)
        return process.returncode, "".join(said)


def test_a_lease_keeps_two_from_one_shard_and_lapses_with_its_owner(tmp_path: Path) -> None:
    site = Site(tmp_path)
    code, said = site.run("run", "--mode", "mock")
    assert code == 2
    assert "No locks available" in said
    assert "--shard 0/1" in said
    first = site.start("run", "--mode", "mock", "--shard", "0/2")
    assert wait_until(first, lambda: any(tmp_path.glob("runs/shared/fleet/attempts/*/journal.jsonl")))
    code, said = site.run("run", "--mode", "mock", "--shard", "0/2")
    assert (code, f"process {first.pid}" in said) == (2, True)
    code, said = site.run("merge")
    assert (code, "shard 0 of 2 is being answered now" in said) == (2, True)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    code, said = site.run("run", "--mode", "mock", "--shard", "0/2")
    assert (code, "it is taken for dead in" in said) == (2, True)
    for lease in site.claims.glob("shard-0.lease.*"):  # as if a minute had passed
        at = lease.stat().st_mtime - 61
        os.utime(lease, (at, at))
    for number in (0, 1):
        assert site.run("run", "--mode", "mock", "--shard", f"{number}/2")[0] == 0
    assert site.run("merge")[0] == 0
    mock = MockSettings(latency_s=0.05, faults={"server_error": 0.05})
    whole = anyio.run(by_one, experiment(site.folder / "dialogues.jsonl", mock=mock, concurrency=64), tmp_path / "one")
    found = results(tmp_path / "runs/shared")
    for name in ("requests.jsonl", "responses.jsonl", "scores.jsonl"):
        assert found[name] == whole[name]
