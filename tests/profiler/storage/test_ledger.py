"""The money of what has not ended: written before it can be spent, found again after a kill, given back when it was told."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import LogError, StorageError
from profiler.storage import ledger
from profiler.storage.ledger import Ledger, Underway
from profiler.storage.money import Money
from profiler.storage.names import LEDGER
from tests.profiler.building import files_end_at


def nothing_answered(_: int) -> bool:
    return False


def begun(folder: Path, *, carried: Money | None = None, places: int = 4) -> Ledger:
    ledger.begin(folder, carried or Money(), journal_size=100, places=places)
    return Ledger(folder)


def underway(folder: Path) -> set[Underway]:
    left = ledger.read(folder)
    assert left is not None
    return set(left.underway)


def test_without_a_ledger_nothing_is_owed(tmp_path: Path) -> None:
    assert ledger.read(tmp_path) is None


def test_what_a_dialogue_may_cost_stands_there_before_its_call_and_is_found_without_an_orderly_end(
    tmp_path: Path,
) -> None:
    book = begun(tmp_path)
    first, second = book.enter(7, hold=0), book.enter(0, hold=0)
    book.write(first, paid=0, maybe=0, hold=50)
    book.write(second, paid=0, maybe=0, hold=60)
    book.write(second, paid=5, maybe=0, hold=0)
    assert underway(tmp_path) == {Underway(7, 0, 0, 50), Underway(0, 5, 0, 0)}


def test_a_dialogue_whose_record_is_in_the_journal_leaves(tmp_path: Path) -> None:
    book = begun(tmp_path)
    book.write(book.enter(7, hold=0), paid=1, maybe=2, hold=3)
    book.leave(7)
    book.leave(8)  # of another session, or one that never called
    assert underway(tmp_path) == set()
    book.enter(9, hold=0)
    assert underway(tmp_path) == {Underway(9, 0, 0, 0)}


def test_a_place_that_is_taken_again_begins_with_nothing(tmp_path: Path) -> None:
    book = begun(tmp_path, places=1)
    book.write(book.enter(1, hold=0), paid=1, maybe=2, hold=3)
    book.leave(1)
    book.enter(2, hold=0)
    assert underway(tmp_path) == {Underway(2, 0, 0, 0)}


def test_there_is_room_for_more_than_was_thought_of(tmp_path: Path) -> None:
    book = begun(tmp_path, places=2)
    for index in range(50):
        book.write(book.enter(index, hold=0), paid=0, maybe=0, hold=index)
    assert underway(tmp_path) == {Underway(index, 0, 0, index) for index in range(50)}


def test_a_disk_without_room_for_more_places_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    book = begun(tmp_path, places=100)
    size = (tmp_path / LEDGER).stat().st_size
    for index in range(100):
        book.enter(index, hold=0)
    with files_end_at(size + 7), pytest.raises(StorageError, match=r"ledger.dat: cannot write: File too large"):
        book.enter(100, hold=0)
    assert len(underway(tmp_path)) == 100


@settings(deadline=None)  # each example writes a file
@given(
    carried=st.builds(Money, spent=st.integers(0, 1 << 60), maybe=st.integers(0, 1 << 60), cut_off=st.integers(0, 99)),
    dialogues=st.dictionaries(st.integers(0, 1 << 40), st.tuples(*[st.integers(0, 1 << 50)] * 3), max_size=9),
    late=st.sets(st.integers(0, 20)),
)
def test_what_is_carried_on_is_all_that_no_record_tells(
    tmp_path_factory: pytest.TempPathFactory,
    carried: Money,
    dialogues: dict[int, tuple[int, int, int]],
    late: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("run")
    book = begun(folder, carried=carried)
    for index, (paid, maybe, hold) in dialogues.items():
        book.write(book.enter(index, hold=0), paid=paid, maybe=maybe, hold=hold)
    book.close()
    left = ledger.read(folder)
    assert left is not None
    cut = [amounts for index, amounts in dialogues.items() if index not in late]
    assert left.settled(late.__contains__) == Money(
        spent=carried.spent + sum(paid for paid, _, _ in cut),
        maybe=carried.maybe + sum(maybe + hold for _, maybe, hold in cut),
        cut_off=carried.cut_off + len(cut),
    )


@pytest.mark.parametrize("content", [b"", b"{", b"ledger 1" + bytes(32), ledger.MAGIC + bytes(33), ledger.MAGIC])
def test_a_ledger_that_is_none_is_an_error_and_not_a_clean_slate(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEDGER).write_bytes(content)
    with pytest.raises(LogError, match="found no ledger") as caught:
        ledger.read(tmp_path)
    assert "--fresh" in str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from profiler.storage import ledger
from profiler.storage.money import Money
folder = Path(sys.argv[1])
ledger.begin(folder, Money(), journal_size=0)
book = ledger.Ledger(folder)
for index in range(300):
    book.write(book.enter(index, hold=0), paid=index, maybe=0, hold=1)
    if index % 3 == 0:
        book.leave(index)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert underway(tmp_path) == {Underway(index, index, 0, 1) for index in range(300) if index % 3}


@settings(max_examples=200)
@given(
    before=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    price=st.integers(0, 99),
    hold=st.integers(99, 200),
    torn=st.integers(0, ledger.AMOUNTS.size // 8),
)
def test_half_an_entry_never_tells_too_little(before: tuple[int, int], price: int, hold: int, torn: int) -> None:
    """The settled price is written over the hold, word by word from the left; a kill may come between two words."""
    paid, maybe = before
    old, new = ledger.AMOUNTS.pack(paid, maybe, hold), ledger.AMOUNTS.pack(paid + price, maybe, 0)
    half = struct.unpack("<qqq", new[: torn * 8] + old[torn * 8 :])
    assert sum(half) >= paid + maybe + price


def test_a_ledger_reaches_the_device_when_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = begun(tmp_path)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    book.sync()
    assert synced == [LEDGER]


def test_a_ledger_that_the_system_closes_with_an_error_is_told_as_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = begun(tmp_path)
    close = os.close

    def closes_badly(fd: int) -> None:
        close(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as now:
        now.setattr(os, "close", closes_badly)
        with pytest.raises(StorageError, match=r"ledger.dat: cannot write: Input/output error"):
            book.close()
