from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from task_kit.sandbox import Level, Limits, SandboxError, Zygote
from task_kit.sandbox.probes import running

from .running import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.sandbox import Child

ENTRY = "tests.task_kit.sandbox.echo:serve"
WAIT_S = 20.0
SEARCH = """
def found(memory, first, backwards):
    at, count = memory.find(first), 0
    while at >= 0:
        count += memory[at + 16:at + 32][::-1] == backwards
        at = memory.find(first, at + 1)
    return count

def searched(first, backwards):
    count = size = 0
    for line in open("/proc/self/maps"):
        span, modes = line.split()[:2]
        if not modes.startswith("r") or "[v" in line:
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        with open("/proc/self/mem", "rb", 0) as file:
            file.seek(start)
            memory = file.read(end - start)
            count, size = count + found(memory, first, backwards), size + len(memory)
    return count, size

count, size = searched(b"{first}", b"{backwards}")
answer = f"{{count}} {{size > 1 << 20}}"
"""


@pytest.fixture(scope="module", params=LEVELS, ids=lambda level: level.label)
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    with Zygote(preload=("decimal", "yaml"), entry=ENTRY, level=request.param) as made:
        yield made


@pytest.fixture
def child(zygote: Zygote) -> Iterator[Child]:
    made = zygote.spawn()
    yield made
    made.kill()
    made.outcome()


def ask(child: Child, code: str) -> str:
    child.send(code.encode())
    return child.receive(WAIT_S).decode()


def test_what_was_preloaded_is_there_and_works(child: Child) -> None:
    assert ask(child, "import sys; answer = {'decimal', 'yaml'} <= set(sys.modules)") == "True"
    assert ask(child, "import yaml; answer = yaml.safe_load('[1, 2]')") == "[1, 2]"


def test_a_child_remembers_what_it_was_told(child: Child) -> None:
    ask(child, "held = 1")

    assert ask(child, "answer = held + 1") == "2"


def test_nothing_of_ours_can_be_imported(child: Child) -> None:
    code = """
import importlib.util, sys
names = ['profiler', 'task_kit', 'grader', 'tests', 'pytest', 'orjson']
answer = [name for name in names if importlib.util.find_spec(name)], [n for n in sys.modules if 'task_kit' in n]
"""
    assert ask(child, code) == "([], [])"


def test_a_child_has_its_socket_and_nothing_else(child: Child) -> None:
    code = """
import fcntl
answer = []
for fd in range(256):
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
        answer.append(fd)
    except OSError:
        pass
"""
    assert ask(child, code) == "[0, 1, 2, 3]"


def test_a_child_knows_nothing_of_its_caller(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its whole memory is searched, and never holds both halves side by side because of the search."""
    if level is Level.KERNEL:
        pytest.skip("a box of that level does not see its own memory")
    secret = os.urandom(16).hex()
    monkeypatch.setenv("A_SECRET", secret)
    with Zygote(preload=(), entry=ENTRY, level=level) as zygote:
        child = zygote.spawn()
        search = SEARCH.format(first=secret[:16], backwards=secret[:15:-1])
        before = ask(child, search)
        ask(child, f"held = {secret!r}")
        after = ask(child, search)

    assert before == "0 True"
    assert not after.startswith("0 ")  # the search finds what is there


def test_children_do_not_see_each_other(zygote: Zygote) -> None:
    first, second = zygote.spawn(), zygote.spawn()

    ask(first, "import tempfile; held = 1")

    assert ask(second, "answer = 'held' in globals()") == "False"
    for child in (first, second):
        child.kill()
        child.outcome()


def test_a_child_that_hangs_hurts_nobody(zygote: Zygote) -> None:
    hanging, other = zygote.spawn(limits=Limits(wall_s=0.5)), zygote.spawn()
    hanging.send(b"while True: pass")

    assert ask(other, "answer = 1") == "1"
    with pytest.raises(EOFError):
        hanging.receive(WAIT_S)
    assert hanging.outcome().reason == "timeout"
    assert ask(other, "answer = 2") == "2"
    other.kill()
    assert other.outcome().signal == 9


def test_a_child_that_explodes_is_ended(zygote: Zygote) -> None:
    child = zygote.spawn(limits=Limits(memory_bytes=256 << 20))
    child.send(b"held = b'x' * (8 << 30)")

    with pytest.raises(EOFError):
        child.receive(WAIT_S)
    assert child.outcome().reason == "memory"


def test_how_a_child_ends_is_told(zygote: Zygote) -> None:
    child = zygote.spawn()
    child.send(b"import sys; print('said'); sys.exit(4)")

    outcome = child.outcome()

    assert (outcome.exit_code, outcome.stdout, outcome.level) == (4, b"said\n", zygote.level)


def test_what_comes_too_late_is_a_time_out_and_no_end(child: Child) -> None:
    child.send(b"import time; time.sleep(0.3); answer = 1")

    with pytest.raises(TimeoutError):
        child.receive(0.01)
    assert child.receive(WAIT_S) == b"1"


def test_nonsense_from_a_child_is_its_end(zygote: Zygote) -> None:
    child = zygote.spawn()
    child.send(b"import os; os.write(3, b'\\xff' * 8)")

    with pytest.raises(EOFError, match="announced a message"):
        child.receive(WAIT_S)
    child.kill()
    child.outcome()


def test_many_children_at_once(zygote: Zygote) -> None:
    children = [zygote.spawn() for _ in range(8)]

    assert [ask(child, f"answer = {number}") for number, child in enumerate(children)] == list(map(str, range(8)))
    for child in children:
        child.kill()
    for child in children:
        child.outcome()


def test_children_end_with_their_zygote(token: str) -> None:
    zygote = Zygote(preload=(), entry=ENTRY, level=Level.PROCESS)
    child = zygote.spawn()
    program = f"""
import subprocess, sys
words = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", {token!r}]
subprocess.Popen(words, stdout=subprocess.PIPE).stdout.readline()
"""
    ask(child, program)
    assert running(token)

    zygote.close()

    assert running(token) == []


def test_a_module_that_does_not_load_is_told() -> None:
    with pytest.raises(SandboxError, match="could not start: ModuleNotFoundError: No module named 'no_such_module'"):
        Zygote(preload=("no_such_module",), entry=ENTRY, level=Level.PROCESS)


@pytest.mark.parametrize("entry", ["tests.task_kit.sandbox.echo", "no_such_module:serve", ":serve"])
def test_an_entry_that_is_none(entry: str) -> None:
    with pytest.raises(SandboxError, match="entry: expected module:function, found"):
        Zygote(preload=(), entry=entry, level=Level.PROCESS)


def test_two_may_wait_for_the_same_end(zygote: Zygote) -> None:
    """As after a signal: who asked for something, and who takes everything away."""

    def ended(child: Child) -> object:
        child.kill()
        return child.outcome()

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            first, second = threads.map(ended, [zygote.spawn()] * 2)
            assert first is second
