"""Workers as processes of their own: what becomes of them when the driver ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from profiler.fleet.process_driver import processes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_worker_that_is_just_ending_is_closed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output has ended and its process not yet, when the driver closes."""
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nexec >&-\n: > $0.ended\nexec sleep 60\n")
    worker.chmod(0o755)
    ended = tmp_path / "worker.ended"
    monkeypatch.setattr(sys, "executable", str(worker))

    async with processes(tmp_path / "logs") as driver:
        driver.start(0)
        with anyio.fail_after(10):
            while not ended.exists():
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
        driver.close()
