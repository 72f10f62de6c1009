from __future__ import annotations

import errno
from pathlib import Path

import pytest

from profiler.core.errors import (
    SHOWN_PROBLEMS,
    BudgetReached,
    CallError,
    DatasetError,
    FileProblems,
    Interrupted,
    LogError,
    ManifestError,
    Problem,
    ProfilerError,
    ProviderFailed,
    RunDirectoryError,
    StorageError,
    UsageError,
)


def test_a_problem_shows_its_place_its_line_and_a_way_out() -> None:
    problem = Problem(path="m.yaml", line=3, column=5, message="found 'x'", source="a: [x]", hint="did you mean 'y'?")
    assert str(problem) == "m.yaml:3:5: found 'x'\n    a: [x]\n        ^\n    hint: did you mean 'y'?"


@pytest.mark.parametrize(("line", "column", "place"), [(None, None, "f"), (2, None, "f:2"), (2, 7, "f:2:7")])
def test_a_place_says_what_is_known_of_it(line: int | None, column: int | None, place: str) -> None:
    assert Problem(path="f", message="m", line=line, column=column).place == place


def test_a_line_without_a_column_has_no_caret() -> None:
    assert str(Problem(path="f", message="m", line=1, source="text")) == "f:1: m\n    text"


def test_a_line_with_nothing_in_it_is_not_shown() -> None:
    assert str(Problem(path="f", message="m", line=9, column=1, source="")) == "f:9:1: m"


def test_all_problems_are_told_at_once() -> None:
    problems = [Problem(path="f", message=f"wrong {number}", line=number) for number in range(3)]
    error = FileProblems(problems)
    assert str(error) == "f:0: wrong 0\nf:1: wrong 1\nf:2: wrong 2"
    assert error.problems == tuple(problems)


def test_problems_that_say_the_same_are_told_by_their_places() -> None:
    problems = [Problem(path="f", message=f"found 'x{number}'", line=number) for number in range(1, 12)]
    told = str(DatasetError([*problems, Problem(path="f", message="other")])).splitlines()
    assert told[:3] == ["f:1: found 'x1'", "f:2: found 'x2'", "f:3: found 'x3'"]
    assert told[3:] == ["f: and 8 more like it, at lines 4, 5, 6, 7, 8, …", "f: other"]
    assert len(str(ManifestError(problems)).splitlines()) == 11  # somebody wrote each of these by hand


def test_very_many_problems_are_counted_beyond_the_first() -> None:
    error = FileProblems([Problem(path="f", message=chr(200 + number)) for number in range(SHOWN_PROBLEMS + 7)])
    assert str(error).splitlines()[-1] == "… and 7 more"
    assert len(str(error).splitlines()) == SHOWN_PROBLEMS + 1
    assert len(error.problems) == SHOWN_PROBLEMS + 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("m"), 2),
        (ManifestError([]), 2),
        (DatasetError([]), 2),
        (LogError([]), 2),
        (RunDirectoryError("m"), 2),
        (StorageError(Path("f"), OSError(28, "No space left on device")), 2),
        (ProviderFailed("m"), 3),
        (BudgetReached("m"), 4),
        (Interrupted("m", signum=2), 130),
        (Interrupted("m", signum=15), 143),
    ],
)
def test_every_expected_failure_has_its_exit_code(error: ProfilerError, code: int) -> None:
    assert error.exit_code == code


def test_a_storage_error_says_what_the_disk_said() -> None:
    assert str(StorageError(Path("f"), OSError(28, "No space left on device"))) == (
        "f: cannot write: No space left on device"
    )
    assert str(StorageError(Path("f"), OSError("odd"))) == "f: cannot write: odd"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room, then run the same command again"),
        (errno.EACCES, "make that place writable, or choose another one, then run the same command again"),
        (errno.EROFS, "make that place writable, or choose another one, then run the same command again"),
        (errno.EIO, "fix that, then run the same command again"),
    ],
)
def test_a_write_that_the_disk_refuses_says_what_to_do(number: int, remedy: str) -> None:
    assert StorageError(Path("f"), OSError(number, ""), answers=False).hint == remedy
    assert StorageError(Path("f"), OSError(number, "")).hint == f"everything answered so far is kept; {remedy}"


def test_a_call_error_takes_what_it_knows_and_nothing_else() -> None:
    error = CallError("overloaded", "busy", status=529, retryable=True)
    assert (str(error), error.args, error.status, error.retryable, error.sent) == ("busy", ("busy",), 529, True, True)
    assert error != CallError("overloaded", "busy", status=529, retryable=True)
    with pytest.raises(TypeError):
        CallError("overloaded", "busy", retriable=True)  # type: ignore[call-arg]
