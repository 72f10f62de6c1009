from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from profiler.core.errors import LogError, RunDirectoryError
from profiler.core.json import dump_line, loads
from profiler.metrics.builtin import BUILTIN
from profiler.money.prices import dollars
from profiler.storage import journal, ledger, run_directory
from profiler.storage.line_file import LineFile
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES, SCORES, STATUS, SUMMARY
from profiler.storage.reading.saved_run import reduce_and_draft
from profiler.storage.run_directory import Earlier, RunDirectory, earlier, hold
from tests.profiler.building import line_of, record
from tests.profiler.storage.directories import (
    COUNT,
    SUMMARY_OF_IT,
    WHOLE,
    answer,
    complete,
    contents,
    files_open_in,
    finish,
    header,
    looked_at,
    run,
    write,
)


def test_a_complete_run_holds_the_three_files_only(tmp_path: Path) -> None:
    complete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [REQUESTS, RESPONSES, SUMMARY]
    found = earlier(tmp_path)
    assert found is not None
    assert (found.count, found.complete) == (COUNT, True)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is forced to the device, renamed and removed from here on, by name and in this order."""
    events: list[str] = []
    really_rename = Path.replace

    def fsync(fd: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{fd}').readlink().name}")

    def rename(draft: Path, path: Path) -> Path:
        events.append(f"name {path.name}")
        return really_rename(draft, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    monkeypatch.setattr(Path, "unlink", lambda path, **_: events.append(f"unlink {path.name}"))
    return events


def test_a_run_is_completed_in_an_order_that_bears_a_power_cut_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What vouches for a file is on the device before that file is, and with its name before the journal goes."""
    finish(tmp_path)
    with hold(tmp_path, tell=print) as directory, closing(directory.open(header())) as opened:
        (tmp_path / LEDGER).touch()
        reduce_and_draft(tmp_path, [BUILTIN["completion_rate"]], tell=print)
        events = watched(monkeypatch)
        directory.complete(opened, SUMMARY_OF_IT)
    assert events[:3] == [f"sync {JOURNAL}", f"sync {REQUESTS}", f"sync {RESPONSES}"]
    assert events[3:6] == [f"sync .{SCORES}.tmp", f"name {SCORES}", f"sync .{SUMMARY}.tmp"]
    assert events[6:8] == [f"name {SUMMARY}", f"sync {tmp_path.name}"]
    assert events[8:11] == [f"unlink {JOURNAL}", f"sync {tmp_path.name}", f"unlink {LEDGER}"]
    assert all(event.startswith("unlink ") and STATUS in event for event in events[11:])


def test_a_run_that_is_complete_has_closed_its_files_and_may_be_closed_once_more(tmp_path: Path) -> None:
    """Whoever completes it does so in a thread, and the last close of a removed file takes as long as a sync."""
    with hold(tmp_path, tell=print) as directory:
        under_way = directory.open(header())
        under_way.open_ledger()
        anyio.run(write, under_way, range(COUNT), range(COUNT))
        directory.complete(under_way, SUMMARY_OF_IT)
        assert [path for path in files_open_in(tmp_path) if path != tmp_path] == []  # the folder itself is locked
        with (tmp_path / "another").open("wb") as another:  # has the number of a file that was closed
            under_way.close()
            another.write(b"whole")
    assert (tmp_path / "another").read_bytes() == b"whole"


def test_what_is_left_unfinished_is_on_the_device_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes between the last answer and the summary."""
    with hold(tmp_path, tell=print) as directory:
        under_way = directory.open(header(), at_once=False)
        events = watched(monkeypatch)
        with closing(under_way):
            anyio.run(write, under_way, range(3), range(3))
            assert events == []
    assert events == [f"sync {JOURNAL}", f"sync {tmp_path.name}"]


@pytest.mark.parametrize("complete", [False, True])
def test_without_fsync_nothing_is_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, complete: bool) -> None:
    with hold(tmp_path, tell=print) as directory, monkeypatch.context() as forced:
        forced.setattr(os, "fsync", lambda _: pytest.fail("forced"))
        forced.setattr(os, "fdatasync", lambda _: pytest.fail("forced"))
        with closing(directory.open(header(), sync=False)) as opened:
            anyio.run(write, opened, range(COUNT), range(COUNT))
            if complete:
                forced.setattr("profiler.storage.summary_file.write", lambda *_: None)
                directory.complete(opened, SUMMARY_OF_IT)
    assert (tmp_path / JOURNAL).exists() is not complete


def test_a_reopened_run_owes_its_failed_dialogues_only(tmp_path: Path) -> None:
    complete(tmp_path)
    looked_at(tmp_path, retry_failed=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL, REQUESTS, RESPONSES]
    standing = finish(tmp_path)
    assert [index for index in range(COUNT) if not standing.done[index]] == [5]
    assert contents(tmp_path) == WHOLE


def test_the_journal_of_a_reopened_run_is_on_the_device_before_anything_that_it_replaces_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(tmp_path)
    events = watched(monkeypatch)

    looked_at(tmp_path, retry_failed=True)

    at = events.index(f"name {JOURNAL}")
    assert f"sync .{JOURNAL}.tmp" in events[:at]
    assert events.index(f"unlink {SUMMARY}") > at


def test_a_reopened_run_that_was_projected_knows_its_dialogues_by_their_place(tmp_path: Path) -> None:
    complete(tmp_path)
    kept = [b'{"dialogue_id":"d%d","type":"%s"}\n' % (i, answer(i).type.encode()) for i in range(COUNT)]
    (tmp_path / RESPONSES).write_bytes(b"".join(kept))
    looked_at(tmp_path, retry_failed=True)
    entries = [place.entry.index for place in journal.Replay(tmp_path / JOURNAL, count=COUNT)]
    assert entries == [0, 1, 2, 3, 4, 6, 7]


def test_a_kill_while_reopening_leaves_the_run_complete(tmp_path: Path) -> None:
    complete(tmp_path)
    (tmp_path / RESPONSES).write_bytes(WHOLE[1] + b"nonsense\n")
    with pytest.raises(LogError, match=r"responses.jsonl:9"):
        looked_at(tmp_path, retry_failed=True)
    assert RunDirectory(tmp_path).summary is not None
    (tmp_path / RESPONSES).write_bytes(WHOLE[1] + b"[]\n")
    looked_at(tmp_path, retry_failed=True)
    assert earlier(tmp_path) == Earlier(count=COUNT, identity=header().identity)


def paid_for(folder: Path) -> None:
    """A complete live run: seven answers for a cent each, a failure that cost three and may have cost five."""
    run(folder, asked=range(COUNT), answered=())
    with LineFile(folder / JOURNAL) as file:
        for index in range(COUNT):
            failed = index == 5
            cents, maybe = (3, 0.05) if failed else (1, None)
            line = record(index, type="error" if failed else "answer", cost_usd=cents / 100)
            file.write(dump_line({**loads(line_of(line)), **({"maybe_usd": maybe} if maybe else {})}))
    session = {"started": "2026-01-01", "finished": "2026-01-02", "answered": COUNT}
    facts = {**SUMMARY_OF_IT["run"], "started": "2026-01-01", "spent_usd": 0.1, "maybe_billed_usd": 0.05}
    finish(folder, summary={**SUMMARY_OF_IT, "run": {**facts, "sessions": [session]}})


def test_the_money_and_the_sessions_of_a_reopened_run_are_not_forgotten(tmp_path: Path) -> None:
    paid_for(tmp_path)
    for _ in range(2):  # the second time it is taken up from the journal
        standing = looked_at(tmp_path, retry_failed=True)
        assert (dollars(standing.money.spent), dollars(standing.money.maybe)) == (0.1, 0.05)
        assert (standing.kept, standing.header.started) == (COUNT - 1, "2026-01-01")
        assert [session["answered"] for session in standing.sessions] == [COUNT]


@pytest.mark.parametrize("before", ["ledger", "replace", "remove"])
def test_a_kill_while_reopening_loses_neither_answers_nor_money(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    paid_for(tmp_path)
    with monkeypatch.context() as patch:
        if before == "ledger":
            patch.setattr(ledger, "begin", killed)
        else:
            patch.setattr(run_directory, before, killed)
        with pytest.raises(KeyboardInterrupt):
            looked_at(tmp_path, retry_failed=True)
    standing = looked_at(tmp_path, retry_failed=True)
    assert (dollars(standing.money.spent), dollars(standing.money.maybe), standing.kept) == (0.1, 0.05, COUNT - 1)


# --- whose directory it is ----------------------------------------------------------------------------------------


def test_another_run_is_refused_with_all_that_differs(tmp_path: Path) -> None:
    run(tmp_path, asked=range(3), answered=[0])
    with pytest.raises(RunDirectoryError) as caught:
        looked_at(tmp_path, header(model="other", mock={"seed": 1, "latency_s": 0.0}, limit=3))
    assert str(caught.value).splitlines()[1:] == [
        "  limit: the run has none, now it is 3",
        "  mock.seed: the run has 0, now it is 1",
        "  model: the run has 'm', now it is 'other'",
    ]
    assert "--fresh" in str(caught.value.hint)


def test_what_differs_is_said_in_words_and_not_in_python(tmp_path: Path) -> None:
    run(tmp_path, asked=range(3), answered=[0])
    with pytest.raises(RunDirectoryError) as caught:
        looked_at(tmp_path, header(selection={"ids": "1 ids, sha256 0e", "by_tag": True}, cache=True))
    assert str(caught.value).splitlines()[1:] == [
        "  cache: the run has none, now it is true",
        "  selection: the run has none, now it is ids: 1 ids, sha256 0e, by_tag: true",
    ]


@pytest.mark.parametrize("name", [REQUESTS, RESPONSES])
@pytest.mark.parametrize("torn_journal", [False, True])
def test_logs_without_a_journal_are_somebodys_data(tmp_path: Path, name: str, *, torn_journal: bool) -> None:
    (tmp_path / name).write_bytes(b"precious\n")
    if torn_journal:
        (tmp_path / JOURNAL).write_bytes(b'{"journal":1,"cou')
    with pytest.raises(RunDirectoryError, match=f"holds {name} but no journal"):
        looked_at(tmp_path)
    assert (tmp_path / name).read_bytes() == b"precious\n"


def test_empty_logs_and_a_torn_first_line_are_a_run_that_has_not_begun(tmp_path: Path) -> None:
    (tmp_path / REQUESTS).touch()
    (tmp_path / JOURNAL).write_bytes(b'{"journal":1,"cou')
    assert earlier(tmp_path) is None
    finish(tmp_path)
    assert contents(tmp_path) == WHOLE


# --- moving aside ------------------------------------------------------------------------------------------------


def test_an_old_run_is_moved_aside_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for _ in range(2):  # within a second, so that the second needs another name
        folder.mkdir()
        run(folder, asked=range(3), answered=[0])
        aside = run_directory._move_aside(folder)
        assert aside is not None
        assert not folder.exists()
        assert (aside / RESPONSES).read_bytes() == line_of(answer(0))
    assert len(list(tmp_path.glob("run.old-*"))) == 2


def test_a_run_that_cannot_be_moved_aside_stays_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 250)  # a name that has no room for more
    folder.mkdir()
    (folder / SUMMARY).write_bytes(b"{}")

    with pytest.raises(RunDirectoryError, match="cannot be moved aside: File name too long"):
        run_directory._move_aside(folder)

    assert (folder / SUMMARY).exists()


def test_an_empty_folder_stays_where_it_is(tmp_path: Path) -> None:
    assert run_directory._move_aside(tmp_path) is None
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
        run_directory._move_aside(folder)
    assert folder.exists()


def test_the_records_of_a_reopened_run_are_those_it_had(tmp_path: Path) -> None:
    complete(tmp_path)
    shutil.copy(tmp_path / RESPONSES, tmp_path / "before")
    looked_at(tmp_path, retry_failed=True)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines()[1:]
    before = [loads(line) for line in (tmp_path / "before").read_bytes().splitlines()]
    assert [loads(line) for line in lines] == [line for line in before if line["type"] != "error"]
