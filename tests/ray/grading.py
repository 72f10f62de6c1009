"""Submissions that are graded on a cluster: what a grader does with them, and what they see of the cluster from inside.

Nothing but verdicts comes out of a box. So the spy, which else is the reference, fails when it sees anything.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.experiment_profiler.grading.grade import reference

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S = 0.02
PATIENCE_S = 120
WORKER = b"grader.workers.worker"
LISTENING = "0A"
ANYWHERE, HEAD = (0, 0, 0, 0), (127, 0, 0, 2)
CRASHER = "import os, signal; os.kill(-1, signal.SIGKILL); os.killpg(0, signal.SIGKILL); os._exit(1)\n"
SPY = """
import glob, os, socket

def seen():
    words = [b"RAY_", b"raylet", b"gcs_server", *{secrets!r}]
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline") + ["/proc/self/environ"]:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue
        for word in words:
            if word in text:
                yield path
    for name, value in os.environ.items():
        if name.startswith("RAY") or value.encode() in {secrets!r}:
            yield name
    for number in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink("/proc/self/fd/" + number)
        except OSError:
            continue  # that of the listing
        if link.startswith("socket:") or "ray" in link:
            yield link
    for path in {paths!r}:
        if os.path.exists(path):
            yield path
    for address in {addresses!r}:
        try:
            socket.create_connection(address, timeout=1).close()
            yield address
        except OSError:
            pass

what = list(seen())
if what:
    raise SystemExit(what[0])
"""


def graded_on(folder: Path, address: str) -> dict[str, Any]:
    """Four submissions, here and on the cluster, where a worker is killed meanwhile."""
    write(folder / "in", address)
    many, on_ray = ("--submissions", "[!a]*", "--jobs", "2"), ("--on", f"ray:{address}")
    spy = ("--submissions", "spy", "--jobs", "1", "--fail-fast", "--isolation", "process")
    here, spied = run(folder, "here", *many), run(folder, "spied", *spy, *on_ray)
    here.wait(PATIENCE_S)
    spied.wait(PATIENCE_S)
    began = time.monotonic()
    there = run(folder, "there", *many, *on_ray)
    killed = kill_a_worker(there)
    there.wait(PATIENCE_S)
    return {
        "codes": [here.returncode, there.returncode],
        "said": (folder / "there.said").read_text(),
        "killed_in_time": killed,
        "verdicts": {Path(line["submission"]["path"]).name: line["status"] for line in results(folder, "there")},
        "equal": results(folder, "here") == results(folder, "there"),
        "without_a_box": [line["status"] for line in results(folder, "spied")],
        "seconds": time.monotonic() - began,
    }


def graded_while_a_node_is_lost(folder: Path, address: str, kill_node: Callable[[], None]) -> dict[str, Any]:
    """One of two nodes, when a submission is being graded on each of them."""
    for name in "abcd":  # enough that two are at work at the same time, however long the second worker takes to start
        shutil.copytree(reference(), folder / "in" / f"node-{name}")
    began = time.monotonic()
    grading = run(folder, "fewer", "--submissions", "node-*", "--jobs", "2", "--on", f"ray:{address}")
    both_at_work = wait_for_boxes(grading, workers=2)
    kill_node()
    grading.wait(PATIENCE_S)
    return {
        "code": grading.returncode,
        "said": (folder / "fewer.said").read_text(),
        "killed_in_time": both_at_work,
        "verdicts": {Path(line["submission"]["path"]).name: line["status"] for line in results(folder, "fewer")},
        "seconds": time.monotonic() - began,
    }


def write(folder: Path, address: str) -> None:
    for name in ("cheat", "crasher", "reference", "spy"):
        shutil.copytree(reference(), folder / name)
    (folder / "anyio").mkdir()  # one that is called like a module, in the folder of the command
    (folder / "anyio" / "__init__.py").write_text("raise SystemExit('it ran outside of a box')")
    runner = folder / "cheat" / "experiment_profiler" / "runner.py"
    honest = runner.read_text()
    assert honest.count("enumerate(samples)") == 1
    runner.write_text(honest.replace("enumerate(samples)", "enumerate(list(samples)[:-1])"))
    (folder / "crasher" / "experiment_profiler" / "__init__.py").write_text(CRASHER)
    secrets = [os.environ["RAY_AUTH_TOKEN"].encode(), address.encode()]
    paths = ["/tmp/ray", str(Path.home() / ".ray")]
    spy = SPY.format(secrets=secrets, paths=paths, addresses=listening())
    (folder / "spy" / "experiment_profiler" / "__init__.py").write_text(spy)


def listening() -> list[tuple[str, int]]:
    """Wherever anything on this machine listens, all ports of the cluster among them. Who listens on all addresses does so
    on that of the head."""
    found = set()
    for line in (*lines_of("/proc/net/tcp"), *lines_of("/proc/net/tcp6")):
        local, state = line.split()[1], line.split()[3]
        if state == LISTENING:
            host, port = local.split(":")
            raw = bytes.fromhex(host)[::-1]
            told = len(raw) == len(ANYWHERE) and any(raw)
            found.add((".".join(map(str, raw if told else HEAD)), int(port, 16)))
    assert len(found) > 3
    return sorted(found)


def lines_of(table: str) -> list[str]:
    return Path(table).read_text().splitlines()[1:]


def run(folder: Path, name: str, *words: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "grader",
        "grade",
        "--seed",
        "s",
        "--output",
        str(folder / f"{name}.jsonl"),
        *words,
    ]
    with (folder / f"{name}.said").open("wb") as log:
        return subprocess.Popen(command, cwd=folder / "in", stdout=log, stderr=log)


def kill_a_worker(command: subprocess.Popen[bytes]) -> bool:
    """As soon as one has a box to die with."""
    if not wait_for_boxes(command, workers=1):
        return False
    os.kill(workers_with_a_box()[0], signal.SIGKILL)
    return True


def wait_for_boxes(command: subprocess.Popen[bytes], *, workers: int) -> bool:
    give_up_at = time.monotonic() + PATIENCE_S
    while command.poll() is None and time.monotonic() < give_up_at:
        if len(workers_with_a_box()) >= workers:
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def workers_with_a_box() -> list[int]:
    """Those that have started the process that their boxes are forked from."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and WORKER in (path / "cmdline").read_bytes() and children_of(path.name):
                found.append(int(path.name))
    return found


def children_of(process: str) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def results(folder: Path, name: str) -> list[dict[str, Any]]:
    """Without what differs from grading to grading."""
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timings"} for line in lines]
