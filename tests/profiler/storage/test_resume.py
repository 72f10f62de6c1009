from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import LogError, RunDirectoryError, StorageError
from profiler.core.json import loads
from profiler.money.prices import pico
from profiler.storage import journal, resume
from profiler.storage.journal import Header
from profiler.storage.line_file import LineFile
from profiler.storage.resume import REQUESTS, RESPONSES, SUMMARY, Standing, open_standing
from profiler.storage.writer import OrderedLog, Writer
from tests.profiler.building import line_of, record, request_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.core.nouns import Record

COUNT = 8
IDENTITY = {"model": "m", "mock": {"seed": 0, "latency_s": 0.0}}


def header(count: int = COUNT, **identity: Any) -> Header:
    return Header(journal=journal.FORMAT, count=count, identity={**IDENTITY, **identity}, started=None)


def answer(index: int) -> Record:
    return record(index, "a" * (index * 7 % 11), type="error" if index == 5 else "answer")


async def write(standing: Standing, asked: Iterable[int], answered: Iterable[int]) -> None:
    """What a run does to an open directory: its real writer, without the pool."""
    path = standing.requests.path.with_name(RESPONSES)
    writer = Writer(
        requests=standing.requests,
        journal=standing.journal,
        order=standing.order,
        responses=OrderedLog(path, size=standing.responses_size, fields=None),
        fsync="off",
    )
    async with writer.running():
        for index in asked:
            writer.put_request(request_line(index))
        for index in answered:
            writer.put(answer(index))


def run(folder: Path, *, asked: Iterable[int], answered: Iterable[int]) -> None:
    standing = open_standing(folder, header())
    anyio.run(write, standing, asked, answered)
    standing.close()


def finish(folder: Path) -> Standing:
    """Resume a directory and give it all that it owes."""
    standing = open_standing(folder, header())
    owed = [index for index in range(COUNT) if not standing.done[index]]
    anyio.run(write, standing, range(standing.asked, COUNT), owed)
    standing.close()
    return standing


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


def test_a_new_directory_holds_nothing_and_owes_everything(tmp_path: Path) -> None:
    standing = open_standing(tmp_path, header())
    standing.close()
    assert (standing.asked, standing.kept, standing.failed, standing.first) == (0, 0, 0, 0)
    assert (standing.responses_size, standing.notes, standing.in_flight) == (0, [], 0)
    assert bytes(standing.done) == bytes(COUNT)
    assert journal.read_header(tmp_path / journal.NAME) == header()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), asked=st.integers(min_value=0, max_value=COUNT))
def test_whatever_a_crash_cut_off_the_files_end_the_same(data: st.DataObject, asked: int) -> None:
    answered = data.draw(st.permutations(range(asked)))
    answered = answered[: data.draw(st.integers(min_value=0, max_value=asked))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, asked=range(asked), answered=answered)
        vouching = journal.header_size(folder / journal.NAME)
        for log in (REQUESTS, RESPONSES):
            if (folder / log).exists():
                cut(folder / log, data.draw(st.integers(min_value=0, max_value=1000)))
        most = (folder / journal.NAME).stat().st_size - vouching
        lost = data.draw(st.integers(min_value=0, max_value=most))
        cut(folder / journal.NAME, lost)
        kept = (folder / journal.NAME).read_bytes()[vouching:].count(b"\n")

        standing = finish(folder)
        assert contents(folder) == WHOLE
        assert standing.kept == kept
        assert list(standing.done) == [index in answered[:kept] for index in range(COUNT)]
        assert (folder / journal.NAME).read_bytes()[vouching:].count(b"\n") == COUNT


def test_what_is_taken_up_is_told(tmp_path: Path) -> None:
    run(tmp_path, asked=range(6), answered=[0, 3, 1])
    standing = open_standing(tmp_path, header())
    standing.close()
    assert (standing.asked, standing.kept, standing.in_flight, standing.first) == (6, 3, 3, 2)
    assert standing.notes == []


@pytest.mark.parametrize("log", [REQUESTS, RESPONSES, journal.NAME])
def test_a_torn_tail_is_cut_and_told(tmp_path: Path, log: str) -> None:
    run(tmp_path, asked=range(6), answered=[0, 1, 2])
    with (tmp_path / log).open("ab") as file:
        file.write(b'{"index":')
    standing = open_standing(tmp_path, header())
    standing.close()
    assert standing.notes == [f"{log}: cut 9 bytes of a torn last line"]
    assert (tmp_path / log).read_bytes().endswith(b"}\n")


def test_lines_beyond_the_dataset_are_cut(tmp_path: Path) -> None:
    finish(tmp_path)
    with (tmp_path / RESPONSES).open("ab") as file:
        file.write(line_of(answer(0)))
    standing = open_standing(tmp_path, header())
    standing.close()
    assert contents(tmp_path) == WHOLE
    assert standing.first == COUNT


def test_answers_that_no_journal_vouches_for_are_asked_again(tmp_path: Path) -> None:
    run(tmp_path, asked=range(6), answered=[0, 1, 2, 3])
    cut(tmp_path / journal.NAME, len(line_of(answer(2))) + len(line_of(answer(3))))
    standing = open_standing(tmp_path, header())
    standing.close()
    assert (standing.first, standing.kept) == (2, 2)
    assert contents(tmp_path)[1] == line_of(answer(0)) + line_of(answer(1))


def test_damage_in_the_journal_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, asked=range(3), answered=[0, 1])
    path = tmp_path / journal.NAME
    path.write_bytes(path.read_bytes().replace(b'"index":0', b'"index":x'))
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"journal.jsonl:2"):
        open_standing(tmp_path, header())
    assert path.read_bytes() == before
    assert not files_open_in(tmp_path)


# --- failed dialogues ---------------------------------------------------------------------------------------------


def test_failed_dialogues_are_kept_unless_they_are_to_be_retried(tmp_path: Path) -> None:
    run(tmp_path, asked=range(COUNT), answered=range(COUNT))
    for retry_failed, found in ((False, (8, 0, 8)), (True, (7, 1, 5))):
        standing = open_standing(tmp_path, header(), retry_failed=retry_failed)
        standing.close()
        assert (standing.kept, standing.failed, standing.first) == found
        assert standing.in_flight == 0
    assert contents(tmp_path)[1] == b"".join(line_of(answer(index)) for index in range(5))


def test_a_dialogue_answered_after_it_failed_is_not_asked_a_third_time(tmp_path: Path) -> None:
    run(tmp_path, asked=range(COUNT), answered=range(COUNT))
    open_standing(tmp_path, header(), retry_failed=True).close()
    with LineFile(tmp_path / journal.NAME) as file:
        file.write(line_of(record(5, "at last")))
    standing = open_standing(tmp_path, header(), retry_failed=True)
    anyio.run(write, standing, (), ())
    standing.close()
    assert (standing.kept, standing.failed) == (COUNT, 0)
    lines = contents(tmp_path)[1].splitlines(keepends=True)
    assert lines[5] == line_of(record(5, "at last"))
    assert lines[:5] + lines[6:] == [line_of(answer(index)) for index in range(COUNT) if index != 5]


def test_what_the_journal_cost_is_summed_up_also_of_what_is_asked_again(tmp_path: Path) -> None:
    open_standing(tmp_path, header()).close()
    costs = {0: ("answer", 0.25), 1: ("error", 0.5), 2: ("answer", None)}
    with LineFile(tmp_path / journal.NAME) as file:
        for index, (kind, cost) in costs.items():
            file.write(line_of(record(index, type=kind, cost_usd=cost)))
    standing = open_standing(tmp_path, header(), retry_failed=True)
    standing.close()
    assert (standing.cost, standing.kept, standing.failed) == (pico(0.75), 2, 1)


def complete(folder: Path) -> None:
    finish(folder)
    (folder / SUMMARY).write_bytes(b"{}")
    resume.finish(folder)


def test_a_complete_run_holds_the_three_files_only(tmp_path: Path) -> None:
    complete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [REQUESTS, RESPONSES, SUMMARY]
    assert resume.earlier(tmp_path) is None


def test_the_logs_are_on_the_device_before_the_journal_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(tmp_path)
    events: list[str] = []

    def fsync(fd: int) -> None:
        events.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync)
    monkeypatch.setattr(Path, "unlink", lambda path, **_: events.append(f"unlink {path.name}"))
    resume.finish(tmp_path)
    assert sorted(events[:2]) == [REQUESTS, RESPONSES]
    assert events[2:] == [f"unlink {journal.NAME}", tmp_path.name]


def test_without_fsync_nothing_is_forced_when_the_journal_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("forced"))
    monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("forced"))
    resume.finish(tmp_path, sync=False)
    assert not (tmp_path / journal.NAME).exists()


def test_a_reopened_run_owes_its_failed_dialogues_only(tmp_path: Path) -> None:
    complete(tmp_path)
    resume.reopen(tmp_path, header())
    assert sorted(path.name for path in tmp_path.iterdir()) == [journal.NAME, REQUESTS, RESPONSES]
    standing = finish(tmp_path)
    assert [index for index in range(COUNT) if not standing.done[index]] == [5]
    assert contents(tmp_path) == WHOLE


def test_a_reopened_run_that_was_projected_knows_its_dialogues_by_their_place(tmp_path: Path) -> None:
    complete(tmp_path)
    kept = [b'{"dialogue_id":"d%d","type":"%s"}\n' % (i, answer(i).type.encode()) for i in range(COUNT)]
    (tmp_path / RESPONSES).write_bytes(b"".join(kept))
    resume.reopen(tmp_path, header())
    entries = [place.entry.index for place in journal.replay(tmp_path / journal.NAME, count=COUNT)]
    assert entries == [0, 1, 2, 3, 4, 6, 7]


def test_a_kill_while_reopening_leaves_the_run_complete(tmp_path: Path) -> None:
    complete(tmp_path)
    (tmp_path / RESPONSES).write_bytes(WHOLE[1] + b"nonsense\n")
    with pytest.raises(LogError, match=r"responses.jsonl:9"):
        resume.reopen(tmp_path, header())
    assert resume.earlier(tmp_path) is None
    assert (tmp_path / SUMMARY).exists()
    (tmp_path / RESPONSES).write_bytes(WHOLE[1] + b"[]\n")
    resume.reopen(tmp_path, header())
    assert resume.earlier(tmp_path) == resume.Earlier(count=COUNT, identity=header().identity, complete=False)


# --- whose directory it is ----------------------------------------------------------------------------------------


def test_another_run_is_refused_with_all_that_differs(tmp_path: Path) -> None:
    run(tmp_path, asked=range(3), answered=[0])
    with pytest.raises(RunDirectoryError) as caught:
        open_standing(tmp_path, header(model="other", mock={"seed": 1, "latency_s": 0.0}, limit=3))
    assert str(caught.value).splitlines()[1:] == [
        "  limit: the run has None, now it is 3",
        "  mock.seed: the run has 0, now it is 1",
        "  model: the run has 'm', now it is 'other'",
    ]
    assert "--fresh" in str(caught.value.hint)


VALUES = st.none() | st.integers() | st.text(max_size=3) | st.booleans()
IDENTITIES = st.dictionaries(
    st.sampled_from("abc"), VALUES | st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3), max_size=3
)


@given(old=IDENTITIES, new=IDENTITIES)
def test_differences_are_what_differs_and_nothing_else(old: dict[str, Any], new: dict[str, Any]) -> None:
    def flat(identity: dict[str, Any]) -> dict[str, Any]:
        both = {name for name in old.keys() & new.keys() if isinstance(old[name], dict) and isinstance(new[name], dict)}
        leaves = {name: value for name, value in identity.items() if name not in both}
        return leaves | {f"{name}.{part}": value for name in both for part, value in identity[name].items()}

    before, now = flat(old), flat(new)
    differing = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    assert sorted(line.partition(":")[0] for line in resume.differences(old, new)) == differing


@pytest.mark.parametrize("name", [REQUESTS, RESPONSES, SUMMARY])
@pytest.mark.parametrize("torn_journal", [False, True])
def test_logs_without_a_journal_are_somebodys_data(tmp_path: Path, name: str, *, torn_journal: bool) -> None:
    (tmp_path / name).write_bytes(b"precious\n")
    if torn_journal:
        (tmp_path / journal.NAME).write_bytes(b'{"journal":1,"cou')
    with pytest.raises(RunDirectoryError, match=f"holds {name} but no journal"):
        open_standing(tmp_path, header())
    assert (tmp_path / name).read_bytes() == b"precious\n"


def test_empty_logs_and_a_torn_first_line_are_a_run_that_has_not_begun(tmp_path: Path) -> None:
    (tmp_path / REQUESTS).touch()
    (tmp_path / journal.NAME).write_bytes(b'{"journal":1,"cou')
    assert resume.earlier(tmp_path) is None
    finish(tmp_path)
    assert contents(tmp_path) == WHOLE


def test_a_directory_that_takes_no_slots_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for _ in ("a new run", "the same again"):
        with pytest.raises(StorageError, match="No space left on device"):
            open_standing(tmp_path, header())
        assert not files_open_in(tmp_path)


# --- the lock -----------------------------------------------------------------------------------------------------


def test_a_directory_is_made_and_held_while_it_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with (
        resume.locked(folder),
        pytest.raises(RunDirectoryError, match="another run is writing here"),
        resume.locked(folder),
    ):
        pass
    with resume.locked(folder):
        assert folder.is_dir()


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    code = f"import fcntl, os; fcntl.flock(os.open({str(tmp_path)!r}, os.O_RDONLY), fcntl.LOCK_EX); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with resume.locked(tmp_path):
        pass


def test_what_goes_wrong_while_the_lock_is_held_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="of somebody else"), resume.locked(tmp_path):
        raise BlockingIOError(11, "of somebody else")


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(fd: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunDirectoryError, match="No locks available"), resume.locked(tmp_path):
        pass


def test_a_folder_that_was_moved_aside_in_between_is_not_taken_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def moved_first(fd: int, operation: int) -> None:
        folder.rename(tmp_path / "run.old")
        really_lock(fd, operation)

    really_lock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", moved_first)
    with pytest.raises(RunDirectoryError, match="another run is writing here"), resume.locked(folder):
        pass


@pytest.mark.parametrize("blocked", ["run", "run/deeper"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "run").write_text("not a folder")
    with (
        pytest.raises(RunDirectoryError, match="cannot be used as a run directory") as caught,
        resume.locked(tmp_path / blocked),
    ):
        pass
    assert "--output-dir" in str(caught.value.hint)


def test_an_old_run_is_moved_aside_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for _ in range(2):  # within a second, so that the second needs another name
        folder.mkdir()
        run(folder, asked=range(3), answered=[0])
        aside = resume.move_aside(folder)
        assert aside is not None
        assert not folder.exists()
        assert (aside / RESPONSES).read_bytes() == line_of(answer(0))
    assert len(list(tmp_path.glob("run.old-*"))) == 2


def test_a_run_that_cannot_be_moved_aside_stays_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 250)  # a name that has no room for more
    folder.mkdir()
    (folder / SUMMARY).write_bytes(b"{}")

    with pytest.raises(RunDirectoryError, match="cannot be moved aside: File name too long"):
        resume.move_aside(folder)

    assert (folder / SUMMARY).exists()


def test_an_empty_folder_stays_where_it_is(tmp_path: Path) -> None:
    assert resume.move_aside(tmp_path) is None
    assert tmp_path.is_dir()


def test_no_free_name_for_the_old_run_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / REQUESTS).touch()
    monkeypatch.setattr("time.strftime", lambda _: "now")
    (tmp_path / "run.old-now").mkdir()
    for number in range(1, 1000):
        (tmp_path / f"run.old-now-{number}").mkdir()
    with pytest.raises(RunDirectoryError, match="cannot find a free name"):
        resume.move_aside(folder)
    assert folder.exists()


def test_the_records_of_a_reopened_run_are_those_it_had(tmp_path: Path) -> None:
    complete(tmp_path)
    shutil.copy(tmp_path / RESPONSES, tmp_path / "before")
    resume.reopen(tmp_path, header())
    lines = (tmp_path / journal.NAME).read_bytes().splitlines()[1:]
    before = [loads(line) for line in (tmp_path / "before").read_bytes().splitlines()]
    assert [loads(line) for line in lines] == [line for line in before if line["type"] != "error"]
