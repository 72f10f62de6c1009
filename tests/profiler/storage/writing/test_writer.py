from __future__ import annotations

import errno
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import StorageError
from profiler.core.json import loads
from profiler.storage.line_file import LineFile
from profiler.storage.writing import journal_file, ordered_log
from profiler.storage.writing import writer as writer_module
from profiler.storage.writing.journal_file import JournalFile
from profiler.storage.writing.ordered_log import Follower, OrderedLog
from profiler.storage.writing.reorder import Order
from profiler.storage.writing.writer import Writer
from tests.profiler.building import files_end_at, line_of, record, request_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.core.nouns import Record
    from profiler.storage.writing.journal_file import Fsync


class NotedFile(LineFile):
    """A real file that notes what was asked of it, in a list that several share."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        super().__init__(path)
        self.notes = notes
        self.broken_device = False

    def write(self, block: bytes) -> None:
        self.notes.append(f"write {self.path.name}")
        super().write(block)

    def sync(self) -> None:
        self.notes.append(f"sync {self.path.name}")
        if self.broken_device:
            raise StorageError(self.path, OSError(errno.EIO, "Input/output error"))
        super().sync()


def open_files() -> set[Path]:
    """Whatever this process holds open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the others
            found.add(link.readlink())
    return found


class Desk:
    """A writer over real files in a folder of their own."""

    def __init__(
        self,
        folder: str | Path,
        *,
        fsync: Fsync = "off",
        fields: tuple[str, ...] | None = None,
        in_memory: int = 1 << 20,
        laid_out: bytes = b"",
    ) -> None:
        self.folder = Path(folder)
        self.turns = 0
        self.notes: list[str] = []
        self.requests = NotedFile(self.folder / "requests", self.notes)
        self.journal = NotedFile(self.folder / "journal", self.notes)
        self.order = Order(self.journal.fd, folder=self.folder, in_memory=in_memory)
        (self.folder / "responses").write_bytes(laid_out)
        log = OrderedLog(self.folder / "responses", size=len(laid_out), fields=fields)
        self.writer = Writer(
            requests=self.requests,
            journal=JournalFile(self.journal, fsync=fsync),
            responses=Follower(self.order, log),
        )

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def put(self, *records: Record) -> None:
        for one in records:
            self.writer.put_request(request_line(one.index))
            self.writer.put(one)

    def close(self) -> None:
        self.order.close()
        self.requests.close()
        self.journal.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def text_of(*records: Record) -> bytes:
    return b"".join(map(line_of, records))


def the_storage_error(caught: pytest.ExceptionInfo[ExceptionGroup[Any]]) -> StorageError:
    assert caught.group_contains(StorageError)
    (error,) = caught.value.exceptions
    assert isinstance(error, StorageError)
    return error


async def serve(desk: Desk, *records: Record, requests: bool = True, crash: bool = False) -> None:
    """A run that goes on until something ends it."""
    async with desk.writer.running():
        for one in records:
            if requests:
                desk.put(one)
            else:
                desk.writer.put(one)
        if crash:
            raise LookupError("a bug")
        await anyio.sleep_forever()


async def serve_and_leave(desk: Desk, *records: Record) -> None:
    async with desk.writer.running():
        desk.put(*records)


def test_a_record_counts_as_done_once_it_is_in_the_journal(desk: Desk) -> None:
    desk.put(record(1))
    assert (desk.writer.done, desk.content("journal")) == (0, b"")
    desk.writer.flush()
    assert (desk.writer.done, desk.content("journal")) == (1, text_of(record(1)))


def test_a_question_is_kept_before_its_answer(desk: Desk) -> None:
    desk.put(record(0), record(1))
    desk.writer.flush()
    assert desk.notes == ["write requests", "write journal"]
    assert desk.content("requests") == line_of(request_line(0)) + line_of(request_line(1))


def test_nothing_queued_is_nothing_written(desk: Desk) -> None:
    desk.writer.flush()
    assert desk.notes == []


async def test_leaving_writes_out_all_that_is_queued(desk: Desk) -> None:
    async with desk.writer.running():
        desk.put(record(1), record(0))
    assert desk.content("journal") == text_of(record(1), record(0))
    assert desk.content("responses") == text_of(record(0), record(1))


async def test_what_waits_for_an_earlier_one_stays_in_the_journal_only(desk: Desk) -> None:
    async with desk.writer.running():
        desk.put(record(0), record(2))
    assert desk.content("responses") == text_of(record(0))
    assert desk.content("journal") == text_of(record(0), record(2))


async def test_a_crash_of_the_run_loses_nothing_that_was_put(desk: Desk) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await serve(desk, record(0), crash=True)
    assert caught.group_contains(LookupError)
    assert desk.content("responses") == text_of(record(0))


async def test_the_ordered_log_grows_while_the_run_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_log, "LINGER_S", 0.001)
    async with desk.writer.running():
        for index in range(3):
            desk.put(record(index))
            with anyio.fail_after(60):
                while not desk.content("responses").endswith(line_of(record(index))):
                    await anyio.lowlevel.checkpoint()


async def test_a_large_block_does_not_wait_for_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_log, "LINGER_S", 3600)
    monkeypatch.setattr(ordered_log, "BLOCK", 100)
    async with desk.writer.running():
        desk.put(record(0))
        with anyio.fail_after(60):
            while not desk.content("responses"):
                await anyio.lowlevel.checkpoint()


async def test_of_those_who_wait_for_room_one_goes_on_a_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BATCH", 1)
    gone_on: list[int] = []

    async def work(number: int) -> None:
        desk.put(record(number))
        assert desk.writer.full
        await desk.writer.make_room()
        gone_on.append(number)

    async with desk.writer.running(), anyio.create_task_group() as workers:
        for number in range(5):
            workers.start_soon(work, number)
        with anyio.fail_after(60):
            while len(gone_on) < 5:
                before = len(gone_on)
                await anyio.lowlevel.checkpoint()
                assert len(gone_on) <= before + 1
        assert not desk.writer.full
    assert gone_on == [0, 1, 2, 3, 4]
    assert desk.writer.done == 5


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


async def test_responses_keep_the_fields_asked_for_in_the_order_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, fields=("type", "replies", "dialogue_id", "usage"))
    async with desk.writer.running():
        desk.put(record(0, "größer"), record(1, replies=("a", "b")))
    lines = [loads(line) for line in desk.content("responses").splitlines()]
    usage = {"input_tokens": 3, "output_tokens": 4}
    assert [list(line.items()) for line in lines] == [
        [("type", "answer"), ("dialogue_id", "d0"), ("usage", usage)],
        [("type", "answer"), ("replies", ["a", "b"]), ("dialogue_id", "d1"), ("usage", usage)],
    ]
    assert desk.content("journal") == text_of(record(0, "größer"), record(1, replies=("a", "b")))
    desk.close()


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    count=st.integers(min_value=1, max_value=30),
    cancel_after=st.integers(min_value=0, max_value=60),
    in_memory=st.sampled_from([0, 300, 1 << 20]),
    block=st.sampled_from([1, 500, 1 << 20]),
)
def test_a_cancellation_at_any_moment_neither_loses_nor_doubles_a_line(
    data: st.DataObject, count: int, cancel_after: int, in_memory: int, block: int
) -> None:
    arrivals = data.draw(st.permutations(range(count)))
    pauses = data.draw(st.lists(st.integers(min_value=0, max_value=3), min_size=count, max_size=count))
    put: list[int] = []

    async def arrive(desk: Desk, scope: anyio.CancelScope) -> None:
        for index, pause in zip(arrivals, pauses, strict=True):
            desk.put(record(index))
            put.append(index)
            for _ in range(pause):
                await anyio.lowlevel.checkpoint()
                if desk.turns == cancel_after:
                    scope.cancel()
                desk.turns += 1

    async def run(desk: Desk) -> None:
        with anyio.CancelScope() as scope:
            async with desk.writer.running():
                await arrive(desk, scope)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered_log, "BLOCK", block)
        patch.setattr(ordered_log, "LINGER_S", 0)
        desk = Desk(folder, in_memory=in_memory)
        anyio.run(run, desk)
        desk.close()
        turn = next((index for index in range(count) if index not in put), count)
        assert desk.content("responses") == text_of(*map(record, range(turn)))
        assert desk.content("journal") == text_of(*map(record, put))
        assert desk.content("requests") == b"".join(line_of(request_line(index)) for index in put)
        assert desk.writer.done == len(put)


@pytest.mark.parametrize(
    "fields",
    [{"completion": "\ud800"}, {"usage": {"input_tokens": object()}}, {"model": "\ud800"}, {"usage": {1: object()}}],
)
async def test_a_record_that_cannot_be_written_down_loses_nothing_but_itself(
    fields: dict[str, Any], desk: Desk
) -> None:
    await serve_and_leave(desk, record(0), record(1, **fields), record(2))

    first, second, third = desk.content("responses").splitlines(keepends=True)
    assert (first, third) == (line_of(record(0)), line_of(record(2)))
    found = loads(second)
    assert (found["dialogue_id"], found["index"], found["type"]) == ("d1", 1, "error")
    assert found["error"]["type"] == "unwritable"
    assert (desk.content("journal").count(b"\n"), desk.writer.done) == (3, 3)
