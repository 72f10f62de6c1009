from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from task_kit.sandbox import Level, Limits, tree
from task_kit.sandbox.supervisor import Output

from .running import LEVELS, SMALL, run

if TYPE_CHECKING:
    from pathlib import Path

FORKS = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
SPAWNS = """
import subprocess, sys, time
for _ in range(40):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""
THREADS = """
import threading, time
for _ in range(200):
    threading.Thread(target=time.sleep, args=(60,)).start()
"""
SPREAD_MEMORY = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(os.urandom(1 << 20)) * 40
        time.sleep(60)
time.sleep(60)
"""
MANY_FILES = """
import itertools
for number in itertools.count():
    open(f"file-{number}", "wb").write(b"x" * (1 << 20))
"""
RELAY = """
import os, time
told, tell = os.pipe()
if os.fork():
    os.close(tell)
    os.read(told, 1)
    os._exit(0)
for _ in range(40):
    turn = time.process_time() + 0.05
    while time.process_time() < turn:
        pass
    if os.fork():
        os._exit(0)
"""
SHARED_MEMORY = """
import mmap, time
held = []
for _ in range(40):
    held.append(mmap.mmap(-1, 8 << 20))
    held[-1][:] = bytes(8 << 20)
    held[-1].madvise(mmap.MADV_DONTNEED)
time.sleep(60)
"""
FLOOD = "while True: print('x' * 1000)"
FLOOD_OF_A_CHILD = "import os\nif os.fork() == 0:\n    while True: os.write(2, b'x' * 1000)\nos.wait()"


def test_what_never_ends_is_ended(level: Level) -> None:
    outcome = run("import time; time.sleep(60)", level=level, limits=Limits(wall_s=0.3))

    assert outcome.reason == "timeout"
    assert 0.3 <= outcome.wall_s < 5


def test_what_ignores_every_signal_is_ended(level: Level) -> None:
    code = """
import signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: signal.pause()
"""
    assert run(code, level=level, limits=Limits(wall_s=0.3)).reason == "timeout"


def test_computing_for_ever_is_ended(level: Level) -> None:
    outcome = run("while True: pass", level=level, limits=Limits(wall_s=30, cpu_s=0.2))

    assert outcome.reason == "cpu"
    assert 0.2 <= outcome.cpu_s < 5


def test_computing_in_turns_counts_together(level: Level) -> None:
    """Each process stays below the limit, and their sum does not."""
    code = """
import os, time
while True:
    if os.fork() == 0:
        end = time.process_time() + 0.05
        while time.process_time() < end: pass
        os._exit(0)
    os.wait()
"""
    assert run(code, level=level, limits=Limits(wall_s=30, cpu_s=0.2)).reason == "cpu"


def test_memory_that_is_asked_for_at_once(level: Level) -> None:
    outcome = run("held = bytearray(4 << 30)", level=level, limits=Limits(memory_bytes=64 << 20))

    assert outcome.reason == "memory"
    assert outcome.peak_bytes < 64 << 20


def test_memory_that_several_hold_together(level: Level) -> None:
    outcome = run(SPREAD_MEMORY, level=level, limits=Limits(wall_s=30, memory_bytes=128 << 20))

    assert outcome.reason == "memory"


def test_pages_that_several_share_count_once(level: Level) -> None:
    code = """
import os, time
held = bytearray(os.urandom(1 << 20)) * 60
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        time.sleep(0.5)
        os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
"""
    outcome = run(code, level=level, limits=Limits(wall_s=30, memory_bytes=160 << 20))

    assert (outcome.reason, outcome.exit_code) == (None, 0)


def test_threads_of_an_honest_program_have_room(level: Level) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
import time
with ThreadPoolExecutor(32) as pool:
    list(pool.map(lambda n: (time.sleep(0.01), bytearray(1 << 16)), range(64)))
"""
    outcome = run(code, level=level, limits=Limits(wall_s=20))

    assert (outcome.reason, outcome.exit_code, outcome.stderr) == (None, 0, b"")


def test_a_fork_bomb_is_ended(level: Level, token: str) -> None:
    code = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {FORKS!r}, {token!r}])"

    outcome = run(code, level=level, limits=Limits(wall_s=20, processes=16))

    assert outcome.reason == "processes"


def test_too_many_programs_are_ended(level: Level) -> None:
    assert run(SPAWNS, level=level, limits=Limits(wall_s=20, processes=16)).reason == "processes"


def test_too_many_threads_are_ended(level: Level) -> None:
    assert run(THREADS, level=level, limits=Limits(wall_s=20, processes=16)).reason == "processes"


def test_a_file_beyond_its_size(level: Level, out: Path) -> None:
    code = "open('large', 'wb').write(b'x' * (3 << 20))"

    outcome = run(code, level=level, writable=out, limits=Limits(file_bytes=1 << 20))

    assert outcome.reason == "file_size"
    assert (out / "large").stat().st_size <= 1 << 20


def test_a_sparse_file_beyond_its_size(level: Level, out: Path) -> None:
    code = "open('large', 'wb').truncate(1 << 40)"

    outcome = run(code, level=level, writable=out, limits=Limits(file_bytes=1 << 20))

    assert outcome.exit_code == 1
    assert (out / "large").stat().st_size <= 1 << 20


def test_a_full_disk(level: Level, out: Path) -> None:
    limits = Limits(wall_s=20, file_bytes=2 << 20, disk_bytes=8 << 20)

    outcome = run(MANY_FILES, level=level, writable=out, limits=limits)

    assert outcome.reason == "disk"
    if level >= Level.NAMESPACES:
        assert sum(path.stat().st_size for path in out.iterdir()) <= limits.disk_bytes


def test_a_disk_full_of_empty_files(level: Level, out: Path) -> None:
    code = "import itertools\nfor number in itertools.count(): open(str(number), 'w').close()"

    outcome = run(code, level=level, writable=out, limits=Limits(wall_s=20, disk_bytes=1 << 18))

    assert outcome.reason == "disk"


@pytest.mark.parametrize("code", [FLOOD, FLOOD_OF_A_CHILD], ids=["its own", "a child's"])
def test_a_flood_is_ended_and_cut(level: Level, code: str) -> None:
    outcome = run(code, level=level, limits=Limits(wall_s=20, output_bytes=10_000))

    assert outcome.reason == "output"
    assert len(outcome.stdout) + len(outcome.stderr) == 10_000


def test_no_more_files_are_brought_back_than_are_worth_the_time(level: Level, out: Path) -> None:
    """Empty ones take no room, and long to fetch and to remove."""
    code = "for number in range(3000): open(str(number), 'w').close()"

    outcome = run(code, level=level, writable=out, limits=Limits(wall_s=30, disk_bytes=16 << 20))

    assert outcome.reason == "disk"


def test_a_burst_before_the_end_is_cut_as_well(level: Level) -> None:
    outcome = run("print('x' * 20_000)", level=level, limits=Limits(output_bytes=10_000))

    assert outcome.reason == "output"
    assert outcome.stdout == b"x" * 10_000


def test_files_that_may_be_open(level: Level) -> None:
    outcome = run("held = [open('/dev/null') for _ in range(100)]", level=level, limits=Limits(open_files=32))

    assert b"Too many open files" in outcome.stderr


def test_no_limit_is_nothing() -> None:
    with pytest.raises(ValueError, match="wall_s above 0, found 0"):
        Limits(wall_s=0)


def test_time_is_counted_of_those_that_hand_it_on_and_go(level: Level) -> None:
    """Nobody inside waits for them, and the program itself ends well."""
    outcome = run(RELAY, level=level, limits=Limits(wall_s=30, cpu_s=0.2))

    assert outcome.reason == "cpu"
    assert outcome.cpu_s < 1.5  # it was stopped long before its end


def test_memory_counts_that_is_kept_and_not_held(level: Level) -> None:
    outcome = run(SHARED_MEMORY, level=level, limits=Limits(wall_s=30, memory_bytes=200 << 20))

    assert outcome.reason == "memory"


@pytest.mark.skipif(Level.NAMESPACES not in LEVELS, reason="elsewhere /proc is closed or everybody's")
def test_memory_that_the_kernel_needs_for_many_pieces(level: Level) -> None:
    code = """
import ctypes, mmap, os, time
libc = ctypes.CDLL(None)
for _ in range(6):
    if os.fork() == 0:
        held = mmap.mmap(-1, 60_000 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(held))
        for piece in range(0, 60_000, 2):
            libc.mprotect(ctypes.c_void_p(start + piece * mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 1)
        break
time.sleep(3600)
"""
    assert run(code, level=level).reason == "memory"


def test_when_the_machine_has_no_memory_left_boxes_go_first() -> None:
    outcome = run("print(open('/proc/self/oom_score_adj').read())", level=Level.NAMESPACES)

    assert outcome.stdout.strip() == b"1000"


def test_output_that_somebody_else_took_is_not_waited_for() -> None:
    output = Output(limit=100)
    reader, writer = output.pipes[0]
    os.write(writer, b"told")

    output.take(reader)
    output.take(reader)

    assert output.streams() == [b"told", b""]


SOCKETS = """
import os, socket, time
for _ in range(8):
    if os.fork() == 0:
        break
held = []
try:
    while len(held) < 110:
        pair = socket.socketpair()
        held.append(pair)
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        pair[0].setblocking(False)
        try:
            while True:
                pair[0].send(bytes(1 << 16))
        except BlockingIOError:
            pass
except OSError:
    pass
time.sleep(30)
"""


def test_what_waits_in_sockets_counts_as_memory(level: Level) -> None:
    assert run(SOCKETS, level=level, limits=replace(SMALL, memory_bytes=256 << 20)).reason == "memory"


def test_no_socket_holds_more_than_it_does_by_itself(level: Level) -> None:
    if level is Level.PROCESS:
        pytest.skip("only with seccomp")
    code = (
        "import socket\na, b = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)\n"
        "print(a.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))"
    )

    assert int(run(code, level=level).stdout) <= tree.SOCKET_BYTES


def test_an_honest_program_may_have_hundreds_of_sockets(level: Level) -> None:
    code = "import socket, time\nheld = [socket.socketpair() for _ in range(100)]\ntime.sleep(0.3)\nprint(len(held))"

    assert run(code, level=level).stdout == b"100\n"
