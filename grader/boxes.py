"""The folders and commands of one grading: what lies in each box, and what is run in it.

Comes in: a submission, the worlds, a temporary folder. Goes out: boxes, each a process to be run with a work folder
of its own. Every world has its own copy of submission and tools, so that nothing can be left for the next one, and a
box holds only what it needs. Names of folders cannot be guessed. Knows nothing of what is right.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from grader import foreign
from task_kit import sandbox
from task_kit.sandbox.box import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grader.foreign import Logs
    from grader.submission import Submission
    from grader.worlds import World

PACKAGES: Final = ("pyyaml", "orjson", "anyio", "aiofiles", "rich", "anthropic")
TOOLS: Final = resources.files("task_kit") / "experiment_profiler" / "tools"
DRIVER: Final = resources.files("grader") / "driver.py"
CLAIMS: Final = "claims.json"
OUTPUT: Final = "out/runs"


class Kind(StrEnum):
    """What is run: the driver that calls the interface, or one of the two commands."""

    API = "api"
    RUN = "run"
    SUMMARIZE = "summarize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the boxes of one world may read: the tools, the submission, and what is given."""

    kit: Path
    submission: Path
    given: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One process to be run: `logs` are what its summarize is asked about."""

    kind: Kind
    world: World
    logs: Logs
    work: Path
    shared: Shared

    @property
    def name(self) -> str:
        return f"{self.world.name} {self.kind}"

    @property
    def run_dir(self) -> str:
        """Where the run belongs, relative to the work folder."""
        return f"{OUTPUT}/{self.world.experiment_id}"

    @property
    def logs_dir(self) -> str:
        return f"logs/{self.logs.folder}"

    def spec(self, limits: sandbox.Limits) -> sandbox.Spec:
        packages = sandbox.packages(PACKAGES)
        own = (self.shared.kit, self.shared.submission, self.shared.given)
        return sandbox.Spec(
            argv=(*sandbox.PYTHON, *self._arguments()),
            env=self._environment((self.shared.kit, self.shared.submission, *packages)),
            cwd=self.work,
            readable=(*own, *packages, *sandbox.python_paths()),
            writable=self.work,
            limits=limits,
        )

    def _arguments(self) -> tuple[str, ...]:
        command = ("-m", "experiment_profiler.cli", self.kind.value)
        match self.kind:
            case Kind.API:
                given = self.shared.given
                return (str(given / "driver.py"), str(given / "job.json"), str(self.work / CLAIMS))
            case Kind.RUN:
                manifest = os.path.relpath(self.shared.given / self.world.manifest_path, self.work)
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
        }


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that others can pass through but not list, gone at the end whatever was done to it."""
    folder = Path(tempfile.mkdtemp(prefix="grading-")).resolve()
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        remove(folder)


def share(world: World, submission: Submission, *, root: Path) -> Shared:
    """Lay out what the boxes of a world may read."""
    folder = root / secrets.token_hex(8)
    shared = Shared(kit=folder / "kit", submission=folder / "submission", given=folder / "given")
    _write(shared.kit, _tools())
    _write(shared.submission, submission.files)
    _write(shared.given, {**world.files, "driver.py": DRIVER.read_bytes()})
    return shared


def make(kind: Kind, world: World, *, seed: str, shared: Shared) -> Box:
    """One box, laid out and ready to be run."""
    work = shared.kit.parent / secrets.token_hex(8)
    work.mkdir()
    box = Box(kind=kind, world=world, logs=foreign.logs(seed, f"{world.name}/{kind}"), work=work, shared=shared)
    if kind is not Kind.RUN:
        _write(work / box.logs_dir, box.logs.files(), writable=True)
    if kind is Kind.API:
        _write(shared.given, {"job.json": json.dumps(_job(box)).encode()})
    return box


def _job(box: Box) -> dict[str, Any]:
    """All that the driver is told."""
    world, given = box.world, box.shared.given
    return {
        "manifest": str(given / world.manifest_path),
        "responses": str(given / world.resolved(world.manifest["mock"]["responses_path"])),
        "output_dir": str(box.work / OUTPUT),
        "run_dir": str(box.work / box.run_dir),
        "logs_dir": str(box.work / box.logs_dir),
        "sample": {key: world.dialogues[0][key] for key in ("dialogue_id", "system", "user", "required_facts")},
        **{key: world.manifest[key] for key in ("model", "max_tokens", "temperature")},
    }


def _tools() -> dict[str, bytes]:
    return {f"tools/{file.name}": file.read_bytes() for file in TOOLS.iterdir() if file.name.endswith(".py")}


def _write(folder: Path, files: Mapping[str, bytes], *, writable: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o666 if writable else 0o444)
