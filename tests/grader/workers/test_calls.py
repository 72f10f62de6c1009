"""A signal reaches everybody: workers, what they run in boxes, and whoever does not want to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from grader.workers.calls import Signalled, call_all, on_this_machine
from grader.workers.ending import ENDS
from task_kit import sandbox
from tests.grader.workers.scripted import Scripted, calls, hires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grader.workers.messages import Report
    from profiler.fleet.drivers.driver import Lost

ROOT = Path(__file__).resolve().parents[3]
SLEEPS = sandbox.Spec(
    argv=(*sandbox.PYTHON, "-c", "import time; time.sleep(500)"),
    env={},
    cwd=Path("/"),
    readable=sandbox.python_paths(),
    writable=None,
    limits=sandbox.Limits(wall_s=600),
)
NEVER_S = 1e6  # so that nothing ends by itself what a signal should end
COMMAND = f"""
import signal, sys
from profiler.fleet.drivers import process_driver
from grader.workers.calls import call_all, on_this_machine
for number in (signal.SIGINT, signal.SIGTERM):  # a background job of a script is born deaf
    signal.signal(number, signal.default_int_handler)
process_driver.ENDING_S = {NEVER_S}
function, told = sys.argv[1:]
try:
    call_all(function, [told.encode()], heard=print, hire=on_this_machine, size=1)
except KeyboardInterrupt as stopped:
    sys.exit(128 + stopped.number)
"""


def sleep_in_a_box(given: bytes) -> bytes:
    """In a worker."""
    worker = sys.modules["__main__"]
    worker.ENDING_S = NEVER_S  # type: ignore[attr-defined]
    told = os.open(given, os.O_WRONLY)  # it is closed when this process has ended
    os.write(told, b"begun\n")
    sandbox.run(SLEEPS)
    return b""


def hang(given: bytes) -> bytes:
    """In a worker: nothing that it may do ends this."""
    worker = sys.modules["__main__"]
    worker.ENDING_S = NEVER_S  # type: ignore[attr-defined]
    saying = Path(os.fsdecode(given)).open("w")  # noqa: SIM115 (it is closed when this process has ended)
    ENDS.append(lambda: print("given up", file=saying, flush=True))
    print("begun", file=saying, flush=True)
    threading.Event().wait()
    return b""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "told")
    return tmp_path / "told"


@pytest.fixture
def started(told: Path) -> Iterator[Callable[[Callable[[bytes], bytes]], subprocess.Popen[bytes]]]:
    begun: list[subprocess.Popen[bytes]] = []

    def start(function: Callable[[bytes], bytes]) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", COMMAND, f"{__name__}:{function.__name__}", str(told)]
        begun.append(subprocess.Popen(words, cwd=ROOT))
        return begun[-1]

    yield start
    for command in begun:
        command.kill()
        command.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_signal_ends_workers_and_their_boxes(
    number: signal.Signals, told: Path, started: Callable[[Callable[[bytes], bytes]], subprocess.Popen[bytes]]
) -> None:
    """Also the one that the command cannot hear."""
    command = started(sleep_in_a_box)
    with told.open("rb") as saying:
        assert saying.readline() == b"begun\n"
        command.send_signal(number)
        assert saying.read() == b""  # nobody has it open any more

    assert command.wait() == (-number if number == signal.SIGKILL else 128 + number)


def test_the_second_signal_does_not_wait_for_who_does_not_end(
    told: Path, started: Callable[[Callable[[bytes], bytes]], subprocess.Popen[bytes]]
) -> None:
    command = started(hang)
    with told.open("rb") as saying:
        assert saying.readline() == b"begun\n"
        command.send_signal(signal.SIGINT)
        assert saying.readline() == b"given up\n"
        command.send_signal(signal.SIGTERM)
        assert set(saying) <= {b"given up\n"}

    assert command.wait() == 128 + signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_afterwards_signals_are_heard_by_whom_they_were_before(number: signal.Signals) -> None:
    class Waits(Scripted):
        async def poll(self) -> tuple[int, Report | Lost]:
            if not self._said:
                signal.raise_signal(number)
                await anyio.sleep_forever()
            return await super().poll()

    def mine(*_: object) -> None:
        raise AssertionError("it was heard here")

    before = signal.signal(number, mine)
    try:
        with pytest.raises(Signalled) as stopped:
            call_all("m:f", [b""], heard=print, hire=hires(Waits(lambda *_: [])), size=1)
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)
    assert stopped.value.number == number


def test_what_goes_wrong_here_comes_out_as_it_is() -> None:
    def broken(_: int, __: object) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        call_all("m:f", [b""], heard=broken, hire=hires(Scripted(calls(bytes))), size=1)


def shout(given: bytes) -> bytes:
    """In a worker."""
    return given.upper()


def test_a_worker_imports_nothing_from_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submissions may lie there, and one may be called like a module."""
    for name in ("msgspec", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('it ran outside of a box')")
    monkeypatch.chdir(tmp_path)
    found: list[object] = []

    call_all(f"{__name__}:shout", [b"a"], heard=lambda *what: found.append(what), hire=on_this_machine, size=1)

    assert found == [(0, b"A")]
