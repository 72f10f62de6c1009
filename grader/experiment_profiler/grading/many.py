"""Grades many submissions at once and writes their results to a file, one a line, in the order of the folders.

A file that is there already is continued. What breaks with one submission is an error of that one alone.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.grading import stored
from grader.experiment_profiler.grading.grade import Asked, Grading, draw_seed
from grader.experiment_profiler.grading.stored import StoredResultError
from grader.experiment_profiler.grading.threads import Pool
from grader.experiment_profiler.judging.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

AHEAD: Final = 4  # gradings begun for each that can run: enough that none waits, few enough for memory


def grade_many(folders: Sequence[Path], asked: Asked, *, output: Path, jobs: int) -> Counter[str]:
    """The number of results of each status. An empty seed draws another one for each submission."""
    try:
        done = _done(output, folders, asked)
        file = output.open("a", encoding="utf-8")
    except OSError as error:
        raise StoredResultError(f"{output}: cannot be written: {error.strerror}; choose another --output") from error
    counts = Counter(str(result["status"]) for result in done)
    with file:
        for result in _graded(folders[len(done) :], asked, jobs=jobs):
            file.write(stored.line(result))
            file.flush()
            counts[str(result["status"])] += 1
    return counts


# --- continuing a file ----------------------------------------------------------------------------------------------


def _done(output: Path, folders: Sequence[Path], asked: Asked) -> list[dict[str, Any]]:
    """The results that can stay. The file is cut back to them: an incomplete line and errors are graded again."""
    if not output.exists():
        return []
    done: list[dict[str, Any]] = []
    kept = 0
    with output.open("rb") as file:
        for line in file:
            result = _result(line)
            if result is None or result.get("status") == Status.ERROR:
                break
            _belongs(result, folders, asked, place=f"{output}:{len(done) + 1}", number=len(done))
            done.append(result)
            kept += len(line)
    with output.open("r+b") as file:
        file.truncate(kept)
    return done


def _result(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        result = json.loads(line)
        if line.endswith(b"\n") and isinstance(result, dict):
            return result
    return None


def _belongs(result: dict[str, Any], folders: Sequence[Path], asked: Asked, *, place: str, number: int) -> None:
    """Raise for results of other submissions, or of another way to grade."""
    found, expected = result.get("submission", {}).get("path"), str(folders[number]) if number < len(folders) else None
    if found != expected:
        raise StoredResultError(f"{place}: found the result of {found}, expected {expected}; choose another --output")
    before = result.get("asked", {})
    wanted = asked.public()
    if not asked.seed:
        before, wanted = ({**values, "seed": ""} for values in (before, wanted))
    if before != wanted:
        raise StoredResultError(f"{place}: found a result of {before}, expected {wanted}; choose another --output")


# --- grading --------------------------------------------------------------------------------------------------------


def _graded(folders: Sequence[Path], asked: Asked, *, jobs: int) -> Iterator[dict[str, Any]]:
    """Results in the order of the folders, however long each takes. Threads will do: the work happens in boxes."""
    waiting = iter(folders)
    running: deque[Future[dict[str, Any]]] = deque()
    with Pool(jobs) as pool:
        while True:
            running.extend(
                pool.submit(_grade_one, folder, asked) for folder in islice(waiting, jobs * AHEAD - len(running))
            )
            if not running:
                return
            yield running.popleft().result()


def _grade_one(folder: Path, asked: Asked) -> dict[str, Any]:
    """Grade one submission, one box at a time, because `jobs` shares out the cores already."""
    own = asked if asked.seed else replace(asked, seed=draw_seed())
    return Grading(own, at_once=1).run(folder).as_dict()
