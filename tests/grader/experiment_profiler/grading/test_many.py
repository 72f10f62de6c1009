"""Results of many stand in order, one a line, and an interrupted batch goes on where it stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from grader.experiment_profiler.grading import sent
from grader.experiment_profiler.grading.grade import Asked, Grading, reference
from grader.experiment_profiler.grading.many import grade_many
from grader.experiment_profiler.grading.stored import StoredResultError
from grader.workers.messages import Done
from profiler.fleet.drivers.driver import Lost
from tests.grader.workers.scripted import Scripted, calls, hires

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from grader.workers.messages import Assignment, Report

    Grade = Callable[..., Counter[str]]

ASKED = Asked(seed="a", worlds=0)


@pytest.fixture
def graded() -> list[str]:
    """The names of what was graded."""
    return []


@pytest.fixture
def grade(graded: list[str]) -> Grade:
    """`grade_many`, by stand-ins that decide by the name."""

    def by_name(given: bytes) -> bytes:
        graded.append(name_of(given))
        return result_by_name(given)

    def grade(asked: list[Path], how: Asked, *, output: Path, jobs: int = 1, last_first: bool = False) -> Counter[str]:
        workers = Scripted(calls(by_name), last_first=last_first)
        return grade_many(asked, how, output=output, jobs=jobs, hire=hires(workers))

    return grade


def name_of(given: bytes) -> str:
    return Path(os.fsdecode(msgspec.msgpack.decode(given, type=sent.Sent).path)).name


def result_by_name(given: bytes) -> bytes:
    found = msgspec.msgpack.decode(given, type=sent.Sent)
    status = name_of(given).partition("-")[0]
    result = {"status": status, "submission": {"path": os.fsdecode(found.path)}, "asked": found.asked}
    return json.dumps(result).encode() + b"\n"


def folders(root: Path, *names: str) -> list[Path]:
    return [root / name for name in names]


def written(path: Path) -> list[str]:
    return [json.loads(line)["submission"]["path"].rpartition("/")[2] for line in path.read_text().splitlines()]


def test_results_stand_in_the_order_of_the_folders(tmp_path: Path, grade: Grade) -> None:
    """The first one ends last."""
    grade(folders(tmp_path, *"abcd"), ASKED, output=tmp_path / "out", jobs=2, last_first=True)

    assert written(tmp_path / "out") == [*"abcd"]


def test_it_counts_each_verdict(tmp_path: Path, grade: Grade) -> None:
    asked = folders(tmp_path, "pass-1", "fail-1", "pass-2", "error-1")

    assert grade(asked, ASKED, output=tmp_path / "out", jobs=1) == {"pass": 2, "fail": 1, "error": 1}


def test_it_goes_on_where_it_stopped(tmp_path: Path, grade: Grade, graded: list[str]) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "fail-2", "pass-3")
    grade(asked[:2], ASKED, output=out, jobs=1)

    assert grade(asked, ASKED, output=out, jobs=1) == {"pass": 2, "fail": 1}
    assert graded == written(out) == ["pass-1", "fail-2", "pass-3"]


@pytest.mark.parametrize("tail", ['{"status": "pa', '{"status": "pass"}', "\n"], ids=["torn", "no end", "empty"])
def test_a_torn_line_is_graded_again(tmp_path: Path, grade: Grade, graded: list[str], tail: str) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "pass-2")
    grade(asked[:1], ASKED, output=out, jobs=1)
    with out.open("a") as file:
        file.write(tail)

    grade(asked, ASKED, output=out, jobs=1)
    assert graded == written(out) == ["pass-1", "pass-2"]


def test_errors_are_graded_again(tmp_path: Path, grade: Grade, graded: list[str]) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "error-2")
    grade(asked, ASKED, output=out, jobs=1)

    grade(asked, ASKED, output=out, jobs=1)
    assert graded == ["pass-1", "error-2", "error-2"]
    assert written(out) == ["pass-1", "error-2"]


@pytest.mark.parametrize("change", ["folders", "fewer", "settings"])
def test_results_of_something_else_are_not_gone_on_with(tmp_path: Path, grade: Grade, change: str) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "pass-2")
    grade(asked, ASKED, output=out, jobs=1)
    before = out.read_bytes()
    others = {"folders": folders(tmp_path, "pass-0", "pass-2"), "fewer": asked[:1], "settings": asked}[change]
    how = Asked(seed="a", worlds=1) if change == "settings" else ASKED

    with pytest.raises(StoredResultError, match="choose another --output"):
        grade(others, how, output=out, jobs=1)
    assert out.read_bytes() == before


def test_without_a_seed_each_has_its_own_and_goes_on_all_the_same(tmp_path: Path, grade: Grade) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "fail-2")
    how = Asked(seed="", worlds=0)

    grade(asked[:1], how, output=out)
    assert grade(asked, how, output=out) == {"pass": 1, "fail": 1}
    seeds = [json.loads(line)["asked"]["seed"] for line in out.read_text().splitlines()]
    assert len({*seeds, ""}) == 3


def test_who_kills_its_grader_is_an_error_with_its_last_words_and_hurts_no_other(tmp_path: Path) -> None:
    def says(_: int, assignment: Assignment) -> list[Report | Lost]:
        if name_of(assignment.given) == "deadly":
            return [Lost("was ended by SIGKILL", "its last words")]
        return [Done(number=assignment.number, found=result_by_name(assignment.given))]

    asked = folders(tmp_path, "pass-1", "deadly", "pass-2")
    workers = Scripted(says)
    counts = grade_many(asked, ASKED, output=tmp_path / "out", jobs=2, hire=hires(workers))

    assert counts == {"pass": 2, "error": 1}
    result = json.loads((tmp_path / "out").read_text().splitlines()[1])
    assert (result["reason"], result["reward_valid"], result["asked"]["seed"]) == ("machine", False, "a")
    assert "was ended by SIGKILL" in result["error"]
    assert "its last words" in result["error"]
    assert result["submission"] == {"path": str(tmp_path / "deadly")}


# --- what is sent -----------------------------------------------------------------------------------------------------


def odd(folder: Path) -> Path:
    """Names that are no text, and what is no regular file."""
    (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"\0\xff")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    return folder


def huge(folder: Path) -> Path:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    return folder


def linked(folder: Path) -> Path:
    (folder / "link").symlink_to(reference())
    return folder / "link"


def below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "x"


@pytest.mark.parametrize(
    "make",
    [lambda folder: folder, odd, huge, linked, below_a_file, lambda folder: folder / "nowhere" / "x"],
    ids=["empty", "odd", "huge", "link", "below a file", "nowhere"],
)
def test_what_is_sent_is_graded_as_what_is_there(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    folder = make(tmp_path)
    asked = Asked(seed="s", worlds=1, fail_fast=True)

    found = json.loads(sent.graded(sent.read(folder, asked)))

    del found["timings"]
    assert found == json.loads(json.dumps(Grading(asked).run(folder).as_dict(timings=False)))
