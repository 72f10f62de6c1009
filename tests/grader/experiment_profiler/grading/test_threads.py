"""What is done in boxes ends with whoever wants it, and not at its limit."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.grading.threads import Pool
from task_kit import sandbox

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

SLEEPS = sandbox.Spec(
    argv=(*sandbox.PYTHON, "-c", "import time; time.sleep(500)"),
    env={},
    cwd=Path("/"),
    readable=sandbox.python_paths(),
    writable=None,
    limits=sandbox.Limits(wall_s=600),
)
# Under nohup, and in some shells, a process is born deaf to SIGHUP.
HEARD = "import signal, sys; signal.signal(int(sys.argv[-1]), signal.SIG_DFL)\n"
SIGNALLED = """
import os, sys
from grader.__main__ import main
from grader.experiment_profiler.grading.grade import Grading
number = int(sys.argv.pop())
Grading.run = lambda self, folder: os.kill(os.getpid(), number)
main()
"""


def test_after_an_interrupt_boxes_end_at_once_and_none_begins() -> None:
    begun = threading.Event()

    def work() -> None:
        begun.set()
        sandbox.run(SLEEPS)

    with suppress(KeyboardInterrupt), Pool(1) as pool:
        running, waiting = pool.submit(work), pool.submit(work)
        begun.wait()
        raise KeyboardInterrupt

    assert "the box was given up" in str(running.exception())
    assert waiting.cancelled()


def test_boxes_end_at_once_too_when_nobody_takes_their_results_any_more() -> None:
    begun = threading.Event()

    def work() -> None:
        begun.set()
        sandbox.run(SLEEPS)

    def results() -> Generator[Future[None]]:
        with Pool(1) as pool:
            yield pool.submit(work)

    taking = results()
    running = next(taking)
    begun.wait()
    taking.close()

    assert "the box was given up" in str(running.exception())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_signal_lets_the_grader_clean_up(number: signal.Signals, tmp_path: Path) -> None:
    words = ["--use-reference", "--output", str(tmp_path / "r.json"), str(int(number))]

    done = subprocess.run(
        [sys.executable, "-c", HEARD + SIGNALLED, *words], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (128 + number, "\nerror: interrupted\n")
