"""Workers as processes of their own: what becomes of them when the driver ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from profiler.fleet.drivers.driver import Lost
from profiler.fleet.drivers.process_driver import processes, processes_of
from profiler.fleet.program import speaks_lines

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


ECHO = """
import os, sys
for line in sys.stdin:
    if line == "end\\n":
        sys.exit("it was told to end")
    print(os.environ["WHO"], line, end="", flush=True)
"""


async def test_any_program_may_be_a_worker_and_has_the_environment_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "an_echo.py").write_text(ECHO)

    with anyio.fail_after(60):
        async with processes_of(speaks_lines("an_echo"), tmp_path / "logs", environ={"WHO": "echo"}) as driver:
            driver.start(0)
            driver.tell(0, b"a\n")
            assert await driver.poll() == (0, b"echo a")
            driver.tell(0, b"end\n")
            assert await driver.poll() == (0, Lost("ended with exit code 1", "it was told to end"))
