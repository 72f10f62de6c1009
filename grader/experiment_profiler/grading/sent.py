"""A submission on its way to the process that grades it, which need not see its folder: it travels as bytes.

It is read where the command was given, and whatever was found wrong with it there is told by the process that grades, in the
place where it would have found it itself. So a result does not depend on who has read the submission.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from grader.experiment_profiler.boxes import submission as submissions
from grader.experiment_profiler.boxes.submission import Submission, UnusableSubmission
from grader.experiment_profiler.grading import stored
from grader.experiment_profiler.grading.grade import Asked, Grading

GRADE = f"{__name__}:graded"


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """Names are bytes, for they need not be text. Without files, `unusable` or `refused` says why there are none."""

    path: bytes
    files: dict[bytes, bytes] = {}
    unusable: str | None = None
    refused: tuple[int | None, str, str | None] | None = None  # what an OSError is made of
    asked: dict[str, Any]

    def take(self, _: Path) -> Submission:
        """Raises what reading it raised."""
        if self.unusable is not None:
            raise UnusableSubmission(self.unusable)
        if self.refused is not None:
            number, said, path = self.refused
            raise FileNotFoundError(said) if number is None else OSError(number, said, path)
        files = {os.fsdecode(name): content for name, content in self.files.items()}
        return Submission(path=os.fsdecode(self.path), files=files)


def read(folder: Path, asked: Asked) -> bytes:
    """What is sent."""
    return msgspec.msgpack.encode(_read(folder, path=os.fsencode(folder), asked=asked.public()))


def _read(folder: Path, *, path: bytes, asked: dict[str, Any]) -> Sent:
    try:
        taken = submissions.take(folder)
    except UnusableSubmission as error:
        return Sent(path=path, unusable=str(error), asked=asked)
    except OSError as error:
        why = (error.errno, error.strerror or str(error), error.filename)
        return Sent(path=path, refused=why, asked=asked)
    files = {os.fsencode(name): content for name, content in taken.files.items()}
    return Sent(path=path, files=files, asked=asked)


def graded(given: bytes) -> bytes:
    """Grade what was sent, one box at a time, because the processes share out the cores already. Returns its line."""
    sent = msgspec.msgpack.decode(given, type=Sent)
    result = Grading(Asked(**sent.asked), at_once=1).run(Path(os.fsdecode(sent.path)), take=sent.take)
    return stored.line(result.as_dict()).encode()
