"""Makes run directories in every state, with the real writer."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from profiler.storage import journal
from profiler.storage.journal import Header
from profiler.storage.names import REQUESTS, RESPONSES
from profiler.storage.run_directory import hold
from tests.profiler.building import line_of, record, request_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from profiler.core.nouns import Record
    from profiler.storage.writing.open_run import OpenRun

COUNT = 8
IDENTITY = {"model": "m", "mock": {"seed": 0, "latency_s": 0.0}}


def header(count: int = COUNT, **identity: Any) -> Header:
    return Header(journal=journal.FORMAT, count=count, identity={**IDENTITY, **identity}, started=None)


def answer(index: int) -> Record:
    return record(index, "a" * (index * 7 % 11), type="error" if index == 5 else "answer")


@contextmanager
def opened(folder: Path, wanted: Header | None = None, *, retry_failed: bool = False) -> Iterator[OpenRun]:
    with (
        hold(folder, tell=print) as directory,
        closing(directory.open(wanted or header(), retry_failed=retry_failed)) as run,
    ):
        yield run


def looked_at(folder: Path, wanted: Header | None = None, *, retry_failed: bool = False) -> OpenRun:
    """Open a directory, close it again, and return what it said about itself."""
    with opened(folder, wanted, retry_failed=retry_failed) as run:
        return run


async def write(run: OpenRun, asked: Iterable[int], answered: Iterable[int]) -> None:
    """Write to an open directory what a run would, with its real writer but without a pool."""
    writer = run.writer(fields=None, fsync="off")
    async with writer.running():
        for index in asked:
            writer.put_request(request_line(index))
        for index in answered:
            writer.put(answer(index))


def run(folder: Path, *, asked: Iterable[int], answered: Iterable[int]) -> None:
    with opened(folder) as under_way:
        anyio.run(write, under_way, asked, answered)


def finish(folder: Path, *, summary: dict[str, Any] | None = None) -> OpenRun:
    """Resume a directory and write everything that is missing; with a `summary` it is complete then."""
    with hold(folder, tell=print) as directory, closing(directory.open(header())) as under_way:
        owed = [index for index in range(COUNT) if not under_way.done[index]]
        anyio.run(write, under_way, range(under_way.asked, COUNT), owed)
        if summary is not None:
            directory.complete(under_way, summary)
        return under_way


SUMMARY_OF_IT: dict[str, Any] = {
    "metrics": {},
    "counts": {"error": 1},
    "run": {"dialogues": COUNT, "identity": IDENTITY},
}


def complete(folder: Path) -> None:
    finish(folder, summary=SUMMARY_OF_IT)


def contents(folder: Path) -> tuple[bytes, bytes]:
    return (folder / REQUESTS).read_bytes(), (folder / RESPONSES).read_bytes()


WHOLE = (
    b"".join(line_of(request_line(index)) for index in range(COUNT)),
    b"".join(line_of(answer(index)) for index in range(COUNT)),
)


def cut(path: Path, by: int) -> None:
    size = path.stat().st_size
    os.truncate(path, max(0, size - by))


def files_open_in(folder: Path) -> list[Path]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the others
            found.append(link.readlink())
    return [path for path in found if path.is_relative_to(folder)]
