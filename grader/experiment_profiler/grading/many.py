"""Grades many submissions at once and writes their results to a file, one a line, in the order of the folders.

A file that is there already is continued. Processes grade, here or on a cluster, each one submission at a time. What breaks
with one submission, and be it the process that grades it, is an error of that one alone.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.grading import sent, stored
from grader.experiment_profiler.grading.grade import TASK, Asked, draw_seed
from grader.experiment_profiler.grading.stored import StoredResultError
from grader.experiment_profiler.judging.verdict import Result, Status
from grader.workers.calls import call_all, on_this_machine
from grader.workers.crew import Broken, InOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from grader.workers.calls import Hire

AHEAD: Final = 4  # gradings begun for each process: enough that none waits, few enough for memory


def grade_many(
    folders: Sequence[Path], asked: Asked, *, output: Path, jobs: int, hire: Hire = on_this_machine
) -> Counter[str]:
    """The number of results of each status. An empty seed draws another one for each submission."""
    try:
        done = _done(output, folders, asked)
        file = output.open("ab")
    except OSError as error:
        raise StoredResultError(f"{output}: cannot be written: {error.strerror}; choose another --output") from error
    counts = Counter(str(result["status"]) for result in done)
    owed = folders[len(done) :]
    batch = Batch(owed, asked)

    def keep(number: int, found: bytes | Broken) -> None:
        line = batch.line(number, found)
        try:
            file.write(line)
            file.flush()
        except OSError as error:
            raise StoredResultError(f"{output}: cannot be written: {error.strerror}") from error
        counts[str(json.loads(line)["status"])] += 1

    with file:
        if owed:
            size = min(jobs, len(owed))
            call_all(sent.GRADE, batch.sent(), heard=InOrder(keep), hire=hire, size=size, ahead=AHEAD * size)
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


class Batch:
    """The gradings of some folders. Each has its own settings, for each has its own seed."""

    def __init__(self, folders: Sequence[Path], asked: Asked) -> None:
        self._folders = folders
        self._asked = asked
        self._begun: dict[int, Asked] = {}

    def sent(self) -> Iterator[bytes]:
        for number, folder in enumerate(self._folders):
            asked = self._asked if self._asked.seed else replace(self._asked, seed=draw_seed())
            self._begun[number] = asked
            yield sent.read(folder, asked)

    def line(self, number: int, found: bytes | Broken) -> bytes:
        """The line of a result; a grading that had none is an error of that one alone."""
        asked = self._begun.pop(number)
        if not isinstance(found, Broken):
            return found
        result = Result(
            task=TASK,
            reason="machine",
            error=f"no result: {found}",
            submission={"path": os.fspath(self._folders[number])},
            asked=asked.public(),
        )
        return stored.line(result.as_dict()).encode()
