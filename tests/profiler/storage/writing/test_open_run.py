from __future__ import annotations

import tempfile
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import LogError
from profiler.core.json import dump_line
from profiler.money.prices import pico
from profiler.storage import journal, ledger
from profiler.storage.line_file import LineFile
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES
from profiler.storage.reading.read_logs import read_outcomes
from tests.profiler.building import line_of, record
from tests.profiler.storage.directories import (
    COUNT,
    WHOLE,
    answer,
    contents,
    cut,
    files_open_in,
    finish,
    header,
    looked_at,
    opened,
    run,
    write,
)


def test_a_new_directory_holds_nothing_and_owes_everything(tmp_path: Path) -> None:
    standing = looked_at(tmp_path)
    assert (standing.asked, standing.kept, standing.first) == (0, 0, 0)
    assert (standing.responses_size, standing.notes, standing.owed) == (0, [], COUNT)
    assert bytes(standing.done) == bytes(COUNT)
    assert journal.read_header(tmp_path / JOURNAL) == header()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), asked=st.integers(min_value=0, max_value=COUNT))
def test_whatever_a_crash_cut_off_the_files_end_the_same(data: st.DataObject, asked: int) -> None:
    answered = data.draw(st.permutations(range(asked)))
    answered = answered[: data.draw(st.integers(min_value=0, max_value=asked))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, asked=range(asked), answered=answered)
        vouching = journal.header_size(folder / JOURNAL)
        for log in (REQUESTS, RESPONSES):
            if (folder / log).exists():
                cut(folder / log, data.draw(st.integers(min_value=0, max_value=1000)))
        most = (folder / JOURNAL).stat().st_size - vouching
        lost = data.draw(st.integers(min_value=0, max_value=most))
        cut(folder / JOURNAL, lost)
        kept = (folder / JOURNAL).read_bytes()[vouching:].count(b"\n")

        standing = finish(folder)
        assert contents(folder) == WHOLE
        assert standing.kept == kept
        assert list(standing.done) == [index in answered[:kept] for index in range(COUNT)]
        assert (folder / JOURNAL).read_bytes()[vouching:].count(b"\n") == COUNT


def test_what_is_taken_up_is_told(tmp_path: Path) -> None:
    run(tmp_path, asked=range(6), answered=[0, 3, 1])
    standing = looked_at(tmp_path)
    assert (standing.asked, standing.kept, standing.owed, standing.first) == (6, 3, 5, 2)
    assert standing.notes == []


@pytest.mark.parametrize("log", [REQUESTS, RESPONSES, JOURNAL])
def test_a_torn_tail_is_cut_and_told(tmp_path: Path, log: str) -> None:
    run(tmp_path, asked=range(6), answered=[0, 1, 2])
    with (tmp_path / log).open("ab") as file:
        file.write(b'{"index":')
    standing = looked_at(tmp_path)
    assert standing.notes == [f"{log}: cut 9 bytes of a torn last line"]
    assert (tmp_path / log).read_bytes().endswith(b"}\n")


def test_lines_beyond_the_dataset_are_cut(tmp_path: Path) -> None:
    finish(tmp_path)
    with (tmp_path / RESPONSES).open("ab") as file:
        file.write(line_of(answer(0)))
    standing = looked_at(tmp_path)
    assert contents(tmp_path) == WHOLE
    assert standing.first == COUNT


def test_answers_that_no_journal_vouches_for_are_asked_again(tmp_path: Path) -> None:
    run(tmp_path, asked=range(6), answered=[0, 1, 2, 3])
    cut(tmp_path / JOURNAL, len(line_of(answer(2))) + len(line_of(answer(3))))
    standing = looked_at(tmp_path)
    assert (standing.first, standing.kept) == (2, 2)
    assert contents(tmp_path)[1] == line_of(answer(0)) + line_of(answer(1))


def test_damage_in_the_journal_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, asked=range(3), answered=[0, 1])
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes().replace(b'"index":0', b'"index":x'))
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"journal.jsonl:2"):
        looked_at(tmp_path)
    assert path.read_bytes() == before
    assert not files_open_in(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        (b'"index":2', b'"index":x'),
        (b'"index":2', b'"index":4'),
        (b'"request_hash"', b'"request_hush"'),
        (b'{"dialogue_id":"d2"', b"\xff\x00"),
    ],
)
def test_damage_in_the_requests_is_cut_and_written_anew(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    run(tmp_path, asked=range(6), answered=[0, 1, 2, 3])
    path = tmp_path / REQUESTS
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(*damage)
    path.write_bytes(b"".join(lines))
    standing = looked_at(tmp_path)
    assert standing.notes == [f"{REQUESTS}: line 3 is damaged; from there on it is written anew from the dataset"]
    assert (standing.asked, standing.kept, standing.first) == (2, 4, 2)
    finish(tmp_path)
    assert contents(tmp_path) == WHOLE


@pytest.mark.parametrize(
    "damage",
    [
        (b'"completion"', b'\x00completion"'),
        (b'"index":1', b'"index":2'),
        (b'"type":"answer"', b'"type":"unsure"'),
        (b'{"dialogue_id":"d1"', b"\xff\x00"),
    ],
)
def test_damage_in_the_responses_is_cut_and_laid_out_anew(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    run(tmp_path, asked=range(6), answered=[0, 1, 2, 3])
    path = tmp_path / RESPONSES
    lines = path.read_bytes().splitlines(keepends=True)
    assert damage[0] in lines[1]
    lines[1] = lines[1].replace(*damage)
    path.write_bytes(b"".join(lines))
    standing = looked_at(tmp_path)
    assert standing.notes == [f"{RESPONSES}: line 2 is damaged; from there on it is laid out anew from {JOURNAL}"]
    assert standing.kept == 4
    finish(tmp_path)
    assert contents(tmp_path) == WHOLE


# --- money --------------------------------------------------------------------------------------------------------


def test_the_journal_tells_what_was_paid_and_what_may_have_been(tmp_path: Path) -> None:
    looked_at(tmp_path)
    with LineFile(tmp_path / JOURNAL) as file:
        file.write(dump_line({"index": 0, "type": "answer", "cost_usd": 0.25}))
        file.write(dump_line({"index": 1, "type": "error", "cost_usd": None, "maybe_usd": 0.5}))
    standing = looked_at(tmp_path, retry_failed=True)
    assert (standing.money.spent, standing.money.maybe, standing.cut_off_now) == (pico(0.25), pico(0.5), 0)


def test_what_was_in_flight_counts_until_its_answer_turns_up_in_the_journal(tmp_path: Path) -> None:
    with opened(tmp_path) as standing:
        book = standing.open_ledger()
        book.write(book.enter(0, hold=0), paid=1, maybe=2, hold=3)
        book.write(book.enter(1, hold=0), paid=10, maybe=20, hold=30)
    with LineFile(tmp_path / JOURNAL) as file:  # and then the kill came, before the place was given up
        file.write(dump_line({"index": 0, "type": "answer", "cost_usd": 0.5}))
    for sessions in range(2):  # the first takes the ledger over, the second finds what the first wrote
        with opened(tmp_path) as standing:
            assert (standing.money.spent, standing.money.maybe) == (pico(0.5) + 10, 50)
            assert (standing.carried.cut_off, standing.cut_off_now) == (1, 1 - sessions)
            standing.open_ledger()


def test_an_error_of_an_earlier_session_does_not_stand_for_the_call_in_flight(tmp_path: Path) -> None:
    looked_at(tmp_path)
    with LineFile(tmp_path / JOURNAL) as file:
        file.write(dump_line({"index": 0, "type": "error", "cost_usd": 0.5}))
    with opened(tmp_path, retry_failed=True) as standing:
        book = standing.open_ledger()
        book.write(book.enter(0, hold=0), paid=0, maybe=0, hold=7)
    standing = looked_at(tmp_path, retry_failed=True)
    assert (standing.money.spent, standing.money.maybe) == (pico(0.5), 7)


async def test_a_record_in_the_journal_gives_its_place_in_the_ledger_up(tmp_path: Path) -> None:
    with opened(tmp_path) as standing:
        book = standing.open_ledger()
        for index in (0, 1):
            book.write(book.enter(index, hold=0), paid=0, maybe=0, hold=7)
        await write(standing, [0, 1], [1])
    left = ledger.read(tmp_path)
    assert left is not None
    assert [each.dialogue for each in left.underway] == [0]


def test_sessions_are_kept_and_the_end_of_one_replaces_its_beginning(tmp_path: Path) -> None:
    with opened(tmp_path) as standing:
        standing.tell_session({"started": "1"})
        standing.tell_session({"started": "1", "finished": "2", "answered": 3})
    with opened(tmp_path) as standing:
        standing.tell_session({"started": "3"})  # and is killed
    with opened(tmp_path) as standing:
        standing.tell_session({"started": "5"})
        assert standing.sessions == [
            {"started": "1", "finished": "2", "answered": 3},
            {"started": "3"},
            {"started": "5"},
        ]
    finish(tmp_path)
    assert contents(tmp_path) == WHOLE


# --- failed dialogues ---------------------------------------------------------------------------------------------


def test_failed_dialogues_are_kept_unless_they_are_to_be_retried(tmp_path: Path) -> None:
    run(tmp_path, asked=range(COUNT), answered=range(COUNT))
    for retry_failed, found in ((False, (8, 8)), (True, (7, 5))):
        standing = looked_at(tmp_path, retry_failed=retry_failed)
        assert (standing.kept, standing.first) == found
    assert contents(tmp_path)[1] == b"".join(line_of(answer(index)) for index in range(5))


def test_a_dialogue_answered_after_it_failed_is_not_asked_a_third_time(tmp_path: Path) -> None:
    run(tmp_path, asked=range(COUNT), answered=range(COUNT))
    looked_at(tmp_path, retry_failed=True)
    with LineFile(tmp_path / JOURNAL) as file:
        file.write(line_of(record(5, "at last")))
    with opened(tmp_path, retry_failed=True) as standing:
        anyio.run(write, standing, (), ())
    assert standing.kept == COUNT
    lines = contents(tmp_path)[1].splitlines(keepends=True)
    assert lines[5] == line_of(record(5, "at last"))
    assert lines[:5] + lines[6:] == [line_of(answer(index)) for index in range(COUNT) if index != 5]


def test_what_the_journal_cost_is_summed_up_also_of_what_is_asked_again(tmp_path: Path) -> None:
    looked_at(tmp_path)
    costs = {0: ("answer", 0.25), 1: ("error", 0.5), 2: ("answer", None)}
    with LineFile(tmp_path / JOURNAL) as file:
        for index, (kind, cost) in costs.items():
            file.write(line_of(record(index, type=kind, cost_usd=cost)))
    standing = looked_at(tmp_path, retry_failed=True)
    assert (standing.money.spent, standing.kept) == (pico(0.75), 2)


def test_a_part_of_a_run_begins_and_resumes_at_its_own_first_index(tmp_path: Path) -> None:
    part = msgspec.structs.replace(header(), first=100)
    with opened(tmp_path, part) as begun:
        assert (begun.first, begun.end, begun.owed) == (100, 100 + COUNT, COUNT)
        anyio.run(write, begun, range(100, 104), [103, 100, 101])
    standing = looked_at(tmp_path, part)
    assert (standing.first, standing.asked, standing.kept, standing.owed) == (102, 4, 3, COUNT - 3)
    assert bytes(standing.done) == b"\1\1\0\1" + bytes(COUNT - 4)
    with opened(tmp_path, part) as resumed:
        anyio.run(write, resumed, range(104, 100 + COUNT), [102, *range(104, 100 + COUNT)])
    assert [outcome.dialogue_id for outcome in read_outcomes(tmp_path, first=100)] == [
        f"d{index}" for index in range(100, 100 + COUNT)
    ]
    with pytest.raises(LogError, match="has index 100, 0 is expected"):
        list(read_outcomes(tmp_path))
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(line_of(answer(0)))
    with pytest.raises(LogError, match="index 0 of 8"):
        looked_at(tmp_path, part)
