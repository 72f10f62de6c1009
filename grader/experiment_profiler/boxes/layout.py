"""Writes the folders of one grading and removes them.

Each box has its own copy of everything, so that nothing can be left in one for the next. Names of folders cannot be
guessed.
"""

from __future__ import annotations

import py_compile
import re
import tempfile
from functools import cache
from importlib import resources
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.boxes import steps
from grader.experiment_profiler.boxes.box import Box, Kind
from task_kit.sandbox.copying import remove

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grader.experiment_profiler.boxes.submission import Submission

TOOLS: Final = resources.files("task_kit") / "experiment_profiler" / "tools"
HERE: Final = resources.files(__package__)
MARKS: Final = resources.files("grader.experiment_profiler.worlds") / "marks.py"
METADATA: Final = "Metadata-Version: 2.4\nName: anthropic\nVersion: {version}\n"
VERSION: Final = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
SIGNING: Final = """

SECRET = {secret!r}
LIVE = {live!r}
WIRE = {wire!r}


def mark(sample):
    return mark_by(SECRET, sample)


def live_answer(**asked):
    return live_message(LIVE, **asked)
"""


def lay_out(box: Box, submission: Submission, *, seed: str, wired: bool = False) -> None:
    """Write what this process needs and no more: one that is only asked about logs gets no world."""
    box.work.mkdir(parents=True)
    box.given.mkdir()
    _write(box.kit, _kit(box, wired=wired))
    _write(box.submission, submission.files)
    for run in box.runs:
        _write(box.place(run.world), run.world.files)
        _write(box.work / run.folder, run.files_before(), mode=0o644)
    for logs in box.logs:
        _write(box.work / box.logs_dir(logs), logs.files(), mode=0o644)
    if box.kind is Kind.API:
        _write(box.given, {box.names["driver"]: _driver(), box.names["job"]: steps.job(box, seed)})


def clear(box: Box) -> None:
    """Remove a box, even one that was not laid out completely."""
    if box.folder.exists():
        remove(str(box.folder))


def _kit(box: Box, *, wired: bool) -> dict[str, bytes]:
    """The tools as everybody has them, except that their marks are those of this process."""
    marks = MARKS.read_bytes() + signing(box.secrets.marks, live=box.secrets.live, wire=box.wire if wired else None)
    return {**_same_for_all(), "tools/mark.py": marks}


def signing(secret: str, *, live: str, wire: Path | None) -> bytes:
    """Live answers come through the wire, where there is one; the secret that signs them does not lie in the box then."""
    told = (live, None) if wire is None else (None, str(wire))
    return SIGNING.format(secret=secret, live=told[0], wire=told[1]).encode()


@cache
def _same_for_all() -> dict[str, bytes]:
    """With their bytecode, which no process of a grading then has to make again."""
    tools = {f"tools/{file.name}": file.read_bytes() for file in TOOLS.iterdir() if file.name.endswith(".py")}
    stand_in = HERE.joinpath("stand_in.py").read_bytes()
    found = {**tools, "anthropic/__init__.py": stand_in}
    del found["tools/mark.py"]
    compiled = {cache_from_source(name): _compiled(name, source) for name, source in found.items()}
    return {**found, **compiled, **_told_of(stand_in.decode())}


def _told_of(stand_in: str) -> dict[str, bytes]:
    """For who asks which version of the SDK is installed."""
    (version,) = VERSION.findall(stand_in)
    return {f"anthropic-{version}.dist-info/METADATA": METADATA.format(version=version).encode()}


def _compiled(name: str, source: bytes) -> bytes:
    """A file as Python caches it, marked as one that need not be compared with its source."""
    with tempfile.TemporaryDirectory() as scratch:
        written, made = Path(scratch, "source.py"), Path(scratch, "made.pyc")
        written.write_bytes(source)
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(written), str(made), dfile=name, doraise=True, invalidation_mode=unchecked)
        return made.read_bytes()


@cache
def _driver() -> bytes:
    return HERE.joinpath("driver.py").read_bytes()


def _write(folder: Path, files: Mapping[str, bytes], *, mode: int = 0o444) -> None:
    """Write files and their folders. Without files no folder is made."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue  # two runs share one world
        path.write_bytes(content)
        path.chmod(mode)
