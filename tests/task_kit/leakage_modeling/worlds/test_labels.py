"""The labels that are judged by are nowhere in a worker: not in its memory, its environment, or the files it can read."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from task_kit.leakage_modeling.agents.policies import CAREFUL
from task_kit.leakage_modeling.worker.worker import Workers
from task_kit.sandbox import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.leakage_modeling.worker.worker import Worker
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote

PAGE = 4096
ENOUGH = 64  # labels in a row: nobody has the same by chance
WRITABLE = re.compile(r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw")
TOKEN = "the-episode-seed-is-4f1d7a"


def forms(labels: np.ndarray) -> dict[str, bytes]:
    """The ways in which labels may lie in memory or in a file."""
    few = labels[:ENOUGH]
    numbers = {kind: few.astype(kind).tobytes() for kind in ("<i8", "<i4", "<i2", "i1", "<f8", "<f4")}
    return {**numbers, "json": ",".join(map(str, few)).encode(), "text": "".join(map(str, few)).encode()}


def leaves(ancestor: int) -> list[int]:
    """The processes below one that have none below themselves."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    waiting, found = [ancestor], []
    while waiting:
        children = parents.get(pid := waiting.pop(), [])
        waiting += children
        found += [] if children else [pid]
    return found


def memory(pid: int) -> Iterator[bytes]:
    """Everything that was ever written in a process: what lies in its files alone is another test."""
    with ExitStack() as open_files:
        try:
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            mem = open_files.enter_context(Path(f"/proc/{pid}/mem").open("rb", buffering=0))
        except (FileNotFoundError, ProcessLookupError):
            return  # it ended since it was listed, and a process that is gone holds nothing
        for found in filter(None, map(WRITABLE.match, maps)):
            start, end = int(found["start"], 16), int(found["end"], 16)
            with suppress(OSError):
                mem.seek(start)
                yield without_empty_pages(mem.read(end - start))


def without_empty_pages(block: bytes) -> bytes:
    """Most of what is mapped was never touched; no label fills a page with nothing but zeros."""
    pages = (block[start : start + PAGE] for start in range(0, len(block), PAGE))
    return b"".join(page for page in pages if page.strip(b"\0"))


def seen_in(pid: int, wanted: dict[str, bytes]) -> set[str]:
    found: set[str] = set()
    for block in memory(pid):
        found |= {name for name, content in wanted.items() if content in block}
    return found


@pytest.fixture
def begun(nursery: Zygote, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker that has been sent its tables, with the labels and the seed lying about on the grader's side."""
    monkeypatch.setenv("EPISODE_SEED", TOKEN)
    for name, content in forms(world.hidden_target).items():
        (tmp_path / f"labels.{name.strip('<')}").write_bytes(content)
    worker = Workers(nursery).start(world)
    yield worker
    worker.close()


@pytest.fixture
def played(begun: Worker, world: World) -> Worker:
    """The same at the end of its episode."""
    begun.run(CAREFUL.code(world))
    begun.fit_predict("pipeline", frames=[world.hidden, world.test])
    return begun


@pytest.mark.parametrize("moment", ["begun", "played"])
def test_no_label_and_no_seed_lies_in_the_memory_of_a_worker(
    nursery: Zygote, world: World, request: pytest.FixtureRequest, moment: str
) -> None:
    request.getfixturevalue(moment)
    secrets = {f"hidden {name}": content for name, content in forms(world.hidden_target).items()}
    secrets |= {f"test {name}": content for name, content in forms(world.test_target).items()}
    secrets |= {"seed": TOKEN.encode(), "truth": world.hidden_p[:4].tobytes()}
    control = {"train labels": world.train["target"].to_numpy()[:ENOUGH].tobytes()}
    processes = leaves(nursery.launcher.process.pid)
    try:
        found = {pid: seen_in(pid, secrets | control) for pid in processes}
    except PermissionError:
        pytest.skip("this user may not read the memory of a box")

    everywhere = set().union(*found.values())
    assert "train labels" in everywhere  # else the scan sees nothing
    assert everywhere <= {"train labels"}


def test_the_environment_of_a_worker_says_nothing(played: Worker) -> None:
    said = played.run("import os; print(sorted(os.environ)); open('/proc/self/environ', 'rb').read()").stdout

    assert TOKEN not in said
    assert not [name for name in os.environ if name.startswith(("ANTHROPIC", "EPISODE")) and name in said]


def test_no_file_that_a_worker_can_read_holds_a_label(
    nursery: Zygote, played: Worker, world: World, tmp_path: Path
) -> None:
    if nursery.level < Level.KERNEL:
        pytest.skip("at this level the files of the host can be read")
    wanted = [content.hex() for content in forms(world.hidden_target).values()]
    ran = played.run(
        "import os\n"
        f"wanted = [bytes.fromhex(text) for text in {wanted!r}]\n"
        "found = []\n"
        "for home in ('/tmp', '/home', '/root', '/var/tmp', '/dev/shm', '/run', '/mnt', '/srv', '/opt'):\n"
        "    for folder, _, names in os.walk(home):\n"
        "        for name in names:\n"
        "            try:\n"
        "                content = open(os.path.join(folder, name), 'rb').read(1 << 16)\n"
        "            except OSError:\n"
        "                continue\n"
        "            found += [name for one in wanted if one in content]\n"
        f"print(found, os.path.exists({str(tmp_path)!r}))"
    )

    assert (ran.stdout, ran.error) == ("[] False\n", None)
