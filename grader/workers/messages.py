"""What a crew and its workers say to each other, a JSON object a line."""

from __future__ import annotations

from typing import Final

import msgspec

from profiler.fleet.program import Program


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A function to call, as `module:name`, with bytes. It returns bytes."""

    number: int
    function: str
    given: bytes


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker listens. Nothing is said to one that does not yet: who writes to it would have to wait."""


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Said all the time, because on a cluster who says nothing is given up."""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the function returned."""

    number: int
    found: bytes


class Raised(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The function raised an exception, which is a bug of ours."""

    number: int
    lines: str


Report = Ready | Alive | Done | Raised

_reports = msgspec.json.Decoder(Report)
_assignments = msgspec.json.Decoder(Assignment)


def as_line(message: Assignment | Report) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def assignment_of(line: bytes) -> Assignment:
    return _assignments.decode(line)


def report_of(line: bytes) -> Report:
    found: Report = _reports.decode(line)
    return found


GRADES: Final[Program[Assignment, Report]] = Program("grader.workers.worker", as_line, report_of)
