"""The folders and commands of one grading: what lies in each box, and what is run in it.

Comes in: a submission, a world, a temporary folder. Goes out: boxes, each a process to be run. Every process has its
own copy of submission and tools, so that nothing can be left for the next one, and a box holds only what it needs.
Names of folders cannot be guessed. Knows nothing of what is right.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.worlds import foreign_logs
from task_kit import sandbox
from task_kit.sandbox.copying import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grader.experiment_profiler.boxes.submission import Submission
    from grader.experiment_profiler.worlds.foreign_logs import Logs
    from grader.experiment_profiler.worlds.world import World

PACKAGES: Final = ("pyyaml", "orjson", "anyio", "aiofiles", "rich", "anthropic")
TOOLS: Final = resources.files("task_kit") / "experiment_profiler" / "tools"
DRIVER: Final = resources.files(__package__) / "driver.py"
CLAIMS: Final = "claims.json"
OUTPUT: Final = "out/runs"
MEMORY: Final = "/dev/shm"  # noqa: S108 (a folder of its own with an unguessable name is made there)
MEMORY_ROOM: Final = 1 << 30
LIVE_WAIT_S: Final = 2.0  # a live client that has not answered by then does not simulate


class Kind(StrEnum):
    """What is run: the driver that calls the interface, or one of the two commands."""

    API = "api"
    RUN = "run"
    SUMMARIZE = "summarize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One process to be run, in a folder of its own. `logs` are what its summarize is asked about."""

    kind: Kind
    world: World
    logs: Logs
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.world.name} {self.kind}"

    @property
    def kit(self) -> Path:
        """The tools, as the task gives them to everybody."""
        return self.folder / "kit"

    @property
    def submission(self) -> Path:
        return self.folder / "submission"

    @property
    def given(self) -> Path:
        """The files of the world, and the driver with its job."""
        return self.folder / "given"

    @property
    def work(self) -> Path:
        """All that can be written to."""
        return self.folder / "work"

    @property
    def run_dir(self) -> str:
        """Where the run belongs, relative to the work folder."""
        return f"{OUTPUT}/{self.world.experiment_id}"

    @property
    def logs_dir(self) -> str:
        return f"logs/{self.logs.folder}"

    def spec(self, limits: sandbox.Limits) -> sandbox.Spec:
        packages = sandbox.packages(PACKAGES)
        own = (self.kit, self.submission, self.given)
        return sandbox.Spec(
            argv=(*sandbox.PYTHON, *self._arguments()),
            env=self._environment((self.kit, self.submission, *packages)),
            cwd=self.work,
            readable=(*own, *packages, *sandbox.python_paths()),
            writable=self.work,
            limits=limits,
        )

    def _arguments(self) -> tuple[str, ...]:
        command = ("-m", "experiment_profiler.cli", self.kind.value)
        match self.kind:
            case Kind.API:
                return (str(self.given / "driver.py"), str(self.given / "job.json"), str(self.work / CLAIMS))
            case Kind.RUN:
                manifest = os.path.relpath(self.given / self.world.manifest_path, self.work)
                return (*command, "--config", manifest, "--output-dir", OUTPUT)
            case Kind.SUMMARIZE:
                return (*command, "--log-dir", str(self.work / self.logs_dir))

    def _environment(self, path: tuple[Path, ...]) -> dict[str, str]:
        """All there is: nothing of the grader's own environment goes in."""
        return {
            "HOME": str(self.work),
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PYTHONHASHSEED": str(self.world.hash_seed),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "TMPDIR": str(self.work),
            "USER": "box",  # who asks would else look into a file of the host's, which some levels close
        }


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that others can pass through but not list, gone at the end whatever was done to it."""
    folder = Path(tempfile.mkdtemp(prefix="grading-", dir=_in_memory())).resolve()
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        remove(str(folder))


def _in_memory() -> str | None:
    """Where making a file costs next to nothing, unless the user chose a place or there is little room; else the usual."""
    if os.environ.get("TMPDIR") or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    found = os.statvfs(MEMORY)
    return MEMORY if found.f_bavail * found.f_frsize >= MEMORY_ROOM else None


def plan(kind: Kind, world: World, *, seed: str, root: Path) -> Box:
    """A box, of which nothing is laid out yet."""
    logs = foreign_logs.logs(seed, f"{world.name}/{kind}")
    return Box(kind=kind, world=world, logs=logs, folder=root / secrets.token_hex(8))


def lay_out(box: Box, submission: Submission) -> None:
    """Just what this process needs: one that is only asked about logs is given no world."""
    box.work.mkdir(parents=True)
    _write(box.kit, _tools())
    _write(box.submission, submission.files)
    _write(box.given, box.world.files if box.kind is not Kind.SUMMARIZE else {})
    if box.kind is not Kind.RUN:
        _write(box.work / box.logs_dir, box.logs.files(), mode=0o644)
    if box.kind is Kind.API:
        _write(box.given, {"driver.py": _driver(), "job.json": json.dumps(_job(box)).encode()})


def clear(box: Box) -> None:
    remove(str(box.folder))


def _job(box: Box) -> dict[str, Any]:
    """All that the driver is told."""
    world, given = box.world, box.given
    return {
        "manifest": str(given / world.manifest_path),
        "responses": str(given / world.resolved(world.manifest["mock"]["responses_path"])),
        "output_dir": str(box.work / OUTPUT),
        "run_dir": str(box.work / box.run_dir),
        "logs_dir": str(box.work / box.logs_dir),
        "live_wait_s": LIVE_WAIT_S,
        "sample": {key: world.dialogues[0][key] for key in ("dialogue_id", "system", "user", "required_facts")},
        **{key: world.manifest[key] for key in ("model", "max_tokens", "temperature")},
    }


@cache
def _tools() -> dict[str, bytes]:
    return {f"tools/{file.name}": file.read_bytes() for file in TOOLS.iterdir() if file.name.endswith(".py")}


@cache
def _driver() -> bytes:
    return DRIVER.read_bytes()


def _write(folder: Path, files: Mapping[str, bytes], *, mode: int = 0o444) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
