"""A writer whose disk is full or whose device fails, and when it forces what is written to the device."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import StorageError
from profiler.storage.writing import journal_file, ordered_log
from profiler.storage.writing import writer as writer_module
from profiler.storage.writing.ordered_log import OrderedLog
from tests.profiler.building import files_end_at, line_of, record, request_line
from tests.profiler.storage.writing.desks import Desk, open_files, serve, serve_and_leave, text_of, the_storage_error

if TYPE_CHECKING:
    from profiler.core.nouns import Record


@pytest.mark.parametrize("room", [0, 10, 200, 500])
async def test_a_full_disk_under_the_journal_ends_the_run_with_whole_lines(desk: Desk, room: int) -> None:
    records = [record(index) for index in range(4)]
    with pytest.raises(ExceptionGroup) as caught, files_end_at(room):
        await serve(desk, *records, requests=False)
    assert the_storage_error(caught).exit_code == 2
    whole = desk.content("journal")
    assert text_of(*records).startswith(whole)
    assert whole == b"" or whole.endswith(b"\n")
    assert len(whole) <= room < len(text_of(*records))
    assert desk.writer.done == 0
    assert desk.content("responses") == b""


async def test_a_full_disk_under_the_requests_loses_no_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    full = StorageError(desk.folder / "requests", OSError(errno.ENOSPC, "no room"))

    def refuse(block: bytes) -> None:
        raise full

    monkeypatch.setattr(desk.requests, "write", refuse)
    with pytest.raises(ExceptionGroup) as caught:
        await serve(desk, record(0), record(1))
    assert the_storage_error(caught) is full
    assert desk.content("journal") == text_of(record(0), record(1))
    assert desk.content("responses") == b""
    assert desk.writer.done == 0


async def serve_and_be_late(desk: Desk, *, late: Record) -> None:
    """One question with its answer, and an answer that comes in when all is being ended."""

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            desk.writer.put(late)

    async with desk.writer.running(), anyio.create_task_group() as workers:
        workers.start_soon(work)
        desk.writer.put_request(request_line(0))
        desk.writer.put(record(0))


async def test_answers_that_come_while_the_run_ends_over_a_request_are_kept_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(block: bytes) -> None:
        desk.writer.put(record(1))  # it came in while the disk was busy refusing
        raise StorageError(desk.folder / "requests", OSError(errno.ENOSPC, "no room"))

    monkeypatch.setattr(desk.requests, "write", refuse)
    with pytest.raises(ExceptionGroup):
        await serve_and_be_late(desk, late=record(2))
    assert desk.content("journal") == text_of(record(0), record(1), record(2))


async def test_a_journal_that_failed_is_not_written_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[bytes] = []

    def refuse(block: bytes) -> None:
        blocks.append(block)
        raise StorageError(desk.folder / "journal", OSError(errno.EIO, "broken"))

    monkeypatch.setattr(desk.journal, "write", refuse)
    with pytest.raises(ExceptionGroup):
        await serve_and_be_late(desk, late=record(1))
    assert blocks == [text_of(record(0))]


@pytest.mark.parametrize("room", [0, 100, 400])
async def test_a_full_disk_under_the_ordered_log_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(ordered_log, "LINGER_S", 0)
    before = b"x" * 5000 + b"\n"
    desk = Desk(tmp_path, laid_out=before)
    records = [record(index) for index in range(3)]
    with pytest.raises(ExceptionGroup) as caught, files_end_at(len(before) + room):
        await serve(desk, *records)
    assert "responses" in str(the_storage_error(caught))
    kept = desk.content("responses").removeprefix(before)
    assert text_of(*records).startswith(kept)
    assert len(kept) == room // len(line_of(records[0])) * len(line_of(records[0]))
    assert desk.content("journal") == text_of(*records)
    desk.close()


async def test_the_disk_filling_up_at_the_very_end_is_an_error_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path, laid_out=b"x" * 5000 + b"\n")
    with pytest.raises(StorageError, match="responses"), files_end_at(5001):
        await serve_and_leave(desk, record(0))
    assert desk.content("journal") == text_of(record(0))
    assert desk.folder / "responses" not in open_files()
    desk.close()


async def test_an_ordered_log_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    log = OrderedLog(tmp_path / "missing" / "responses", size=0, fields=None)
    with pytest.raises(StorageError, match="No such file or directory"):
        await log.write([b"line\n"])
    async with log:
        pass


async def test_without_fsync_nothing_is_forced_to_the_device(desk: Desk) -> None:
    async with desk.writer.running():
        desk.put(record(0))
    assert "sync journal" not in desk.notes


async def test_fsync_always_comes_before_done(tmp_path: Path) -> None:
    desk = Desk(tmp_path, fsync="always")
    desk.put(record(0))
    desk.writer.flush()
    desk.put(record(1))
    desk.journal.broken_device = True
    with pytest.raises(StorageError):
        desk.writer.flush()
    assert [note for note in desk.notes if "journal" in note] == ["write journal", "sync journal"] * 2
    assert desk.writer.done == 1
    desk.close()


async def until_synced(desk: Desk, times: int) -> None:
    with anyio.fail_after(60):
        while desk.notes.count("sync journal") < times:
            await anyio.lowlevel.checkpoint()


async def test_fsync_interval_forces_what_is_new_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "FSYNC_INTERVAL_S", 0)
    desk = Desk(tmp_path, fsync="interval")
    async with desk.writer.running():
        desk.put(record(0))
        await until_synced(desk, 1)
        await anyio.wait_all_tasks_blocked()
        desk.put(record(1))
        await until_synced(desk, 2)
        await anyio.wait_all_tasks_blocked()
    assert desk.notes.count("sync journal") == 2
    desk.close()


async def test_fsync_interval_does_not_force_more_often_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "FSYNC_INTERVAL_S", 3600)
    monkeypatch.setattr(writer_module, "GATHER_S", 0)
    desk = Desk(tmp_path, fsync="interval")
    async with desk.writer.running():
        for index in range(20):
            desk.put(record(index))
            await anyio.wait_all_tasks_blocked()
    assert "sync journal" not in desk.notes, "what ends well is forced by whoever completes the run"
    assert desk.notes.count("write journal") > 10
    desk.close()


async def test_what_a_run_is_stopped_with_is_forced(tmp_path: Path) -> None:
    desk = Desk(tmp_path, fsync="interval")
    with pytest.raises(ExceptionGroup):
        await serve(desk, record(0), crash=True)
    assert desk.notes[-2:] == ["write journal", "sync journal"]
    desk.close()


async def test_a_device_that_fails_ends_the_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path, fsync="interval")
    desk.journal.broken_device = True
    with pytest.raises(ExceptionGroup) as caught:
        await serve(desk, record(0))
    assert "Input/output error" in str(the_storage_error(caught))
    assert desk.notes.count("sync journal") == 1
    desk.close()
