from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import StorageError
from profiler.storage.line_file import LineFile
from profiler.storage.writing import reorder as order_module
from profiler.storage.writing.reorder import Order

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = b"the header of the journal\n"


def lines_of(sizes: Sequence[int]) -> list[bytes]:
    return [b"%d " % index + b"x" * size + b"\n" for index, size in enumerate(sizes)]


class Journal:
    """A real journal file, whose lines an order puts back."""

    def __init__(self, folder: str | Path) -> None:
        self.file = LineFile(Path(folder) / "journal")
        self.file.write(HEADER)

    def keep(self, records: list[tuple[int, bytes]]) -> int:
        offset = self.file.size
        self.file.write(b"".join(line for _, line in records))
        return offset

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def offer(order: Order, journal: Journal, records: list[tuple[int, bytes]]) -> int:
    """Journal the records and let them wait for their turn; returns where they begin."""
    offset = journal.keep(records)
    order.offer([index for index, _ in records], b"".join(line for _, line in records), offset=offset)
    return offset


def test_neighbours_stay_together(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path) as order:
        offer(order, journal, [(0, b"a\n"), (1, b"b\n"), (2, b"c\n")])
        assert order.take(100) == [b"a\nb\nc\n"]


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    sizes=st.lists(st.integers(min_value=0, max_value=60), max_size=25),
    in_memory=st.sampled_from([0, 10, 100, 10_000]),
    slots=st.sampled_from([1, 3, 4096]),
    read_ahead=st.sampled_from([1, 50, 1 << 20]),
)
def test_lines_leave_once_and_in_order_whatever_the_order_of_arrival(
    data: st.DataObject, sizes: list[int], in_memory: int, slots: int, read_ahead: int
) -> None:
    lines = lines_of(sizes)
    first = data.draw(st.integers(min_value=0, max_value=len(lines)))
    arrivals = data.draw(st.permutations(range(first, len(lines))))
    left: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder, Journal(folder) as journal, pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "SLOTS_AT_ONCE", slots)
        patch.setattr(order_module, "READ_AHEAD", read_ahead)
        with Order(journal.file.fd, folder=Path(folder), first=first, in_memory=in_memory) as order:
            while arrivals:
                batch = arrivals[: (size := data.draw(st.integers(min_value=1, max_value=8)))]
                arrivals = arrivals[size:]
                records = [(index, lines[index]) for index in batch]
                offer(order, journal, records)
                assert order.held <= in_memory
                left += order.take(data.draw(st.sampled_from([0, 1, 40, 1000])))
                assert b"".join(left) == b"".join(lines[first : order.next])
            while more := order.take(data.draw(st.sampled_from([1, 40, 1000]))):
                left += more
            assert order.held == 0
    assert b"".join(left) == b"".join(lines[first:])


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_a_take_is_about_as_large_as_asked(tmp_path: Path, in_memory: int) -> None:
    lines = lines_of([50] * 20)
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path, in_memory=in_memory) as order:
        for record in enumerate(lines):
            offer(order, journal, [record])
        assert order.take(3 * len(lines[0])) == lines[:3]


def test_nothing_leaves_before_its_turn(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path) as order:
        offer(order, journal, [(1, b"b\n")])
        assert order.take(100) == []
        offer(order, journal, [(0, b"a\n")])
        assert order.take(100) == [b"a\n", b"b\n"]


def test_a_line_beyond_the_memory_is_read_back_from_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path, in_memory=3) as order:
        records = [(0, b"a\n"), (1, b"later\n")]
        offset = offer(order, journal, records)
        assert order.held == 2
        with journal.file.path.open("r+b") as file:
            file.seek(offset + 2)
            file.write(b"LATER")
        assert order.take(100) == [b"a\n", b"LATER\n"]


@pytest.mark.parametrize("settled_between", [False, True])
def test_of_two_places_noted_for_one_dialogue_the_later_wins(tmp_path: Path, *, settled_between: bool) -> None:
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path) as order:
        first = journal.keep([(0, b"error\n")])
        other = journal.keep([(1, b"b\n")])
        second = journal.keep([(0, b"answer\n")])
        order.note(0, offset=first, size=6)
        order.note(1, offset=other, size=2)
        if settled_between:
            order.settle()
        order.note(0, offset=second, size=7)
        assert order.take(100) == [b"answer\n", b"b\n"]
        assert order.take(100) == []


def test_the_slots_leave_no_file_behind(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        with Order(journal.file.fd, folder=tmp_path, in_memory=0) as order:
            offer(order, journal, [(5, b"f\n")])
            order.settle()
            assert [path.name for path in tmp_path.iterdir()] == ["journal"]
        assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_a_file_for_the_places_is_made_only_when_the_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    really_make = tempfile.TemporaryFile

    def make(**words: Any) -> Any:
        made.append(words)
        return really_make(**words)

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path, in_memory=4) as order:
        offer(order, journal, [(1, b"b\n")])
        offer(order, journal, [(3, b"d\n")])
        order.settle()
        assert not made
        offer(order, journal, [(2, b"c\n")])
        offer(order, journal, [(0, b"a\n")])
        assert b"".join(chain.from_iterable(iter(lambda: order.take(100), []))) == b"a\nb\nc\nd\n"
        assert len(made) == 1


def test_a_folder_that_takes_no_places_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with Journal(tmp_path) as journal, Order(journal.file.fd, folder=tmp_path, in_memory=0) as order:
        offer(order, journal, [(1, b"b\n")])
        with pytest.raises(StorageError, match="No space left on device"):
            order.settle()
