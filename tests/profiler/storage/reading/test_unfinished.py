from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from profiler.core.errors import LogError
from profiler.storage import journal, ledger
from profiler.storage.folder_lock import LOCKS, is_locked
from profiler.storage.journal import Header
from profiler.storage.ledger import Ledger
from profiler.storage.line_file import LineFile
from profiler.storage.money import Money
from profiler.storage.names import JOURNAL
from profiler.storage.reading.saved_run import SavedRun
from profiler.storage.reading.unfinished import unfinished

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"experiment_id": "e", "mode": "live"}


def record(index: int, **more: Any) -> dict[str, Any]:
    return {"dialogue_id": f"d{index}", "index": index, "type": "answer", "completion": "Paris", **more}


def begun(folder: Path, *records: dict[str, Any] | bytes, asked: int = 5) -> Path:
    """A run directory as a kill leaves it, with records in their order of completion."""
    with LineFile(folder / JOURNAL) as file:
        journal.begin(file, Header(journal=journal.FORMAT, count=5, identity=IDENTITY, started="then"))
        file.write(b"".join(each if isinstance(each, bytes) else orjson.dumps(each) + b"\n" for each in records))
    lines = [{"dialogue_id": f"d{index}", "index": index, "required_facts": ["paris"]} for index in range(asked)]
    (folder / "requests.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return folder


def test_what_is_kept_comes_in_dataset_order_with_what_was_asked(tmp_path: Path) -> None:
    found = unfinished(begun(tmp_path, record(3), record(0), record(4), b'{"dialogue_id": "d1", "ind'))
    assert found is not None
    outcomes = list(found.outcomes())
    assert [outcome.dialogue_id for outcome in outcomes] == ["d0", "d3", "d4"]
    assert {outcome.required_facts for outcome in outcomes} == {("paris",)}
    assert (found.kept, found.facts()["state"], found.facts()["dialogues"]) == (3, "unfinished", 5)


def test_of_a_dialogue_that_was_asked_again_the_later_record_counts_and_both_cost(tmp_path: Path) -> None:
    failed = {**record(2, cost_usd=0.5), "type": "error", "completion": None}
    found = unfinished(begun(tmp_path, failed, record(2, cost_usd=0.25)))
    assert found is not None
    assert [outcome.type for outcome in found.outcomes()] == ["answer"]
    assert (found.kept, found.facts()["spent_usd"]) == (1, 0.75)


def test_an_answer_whose_request_line_is_not_written_yet_is_kept(tmp_path: Path) -> None:
    found = unfinished(begun(tmp_path, record(4), asked=2))
    assert found is not None
    (outcome,) = found.outcomes()
    assert (outcome.dialogue_id, outcome.required_facts) == ("d4", ())


def test_what_may_have_been_billed_is_read_from_the_ledger(tmp_path: Path) -> None:
    begun(tmp_path, record(0, cost_usd=0.25, maybe_usd=0.5), record(1, cost_usd=0.25))
    ledger.begin(tmp_path, Money(spent=10**11, maybe=2 * 10**11), journal_size=0)
    book = Ledger(tmp_path)
    book.write(book.enter(1, hold=0), paid=10**12, maybe=10**12, hold=10**12)  # its record has reached the journal
    book.write(book.enter(2, hold=0), paid=10**11, maybe=0, hold=3 * 10**11)
    book.close()
    facts = SavedRun(tmp_path).summary["run"]
    assert (facts["spent_usd"], facts["maybe_billed_usd"]) == (0.7, 1.0)


def test_a_call_that_asks_a_failed_dialogue_again_counts_although_the_dialogue_has_a_record(tmp_path: Path) -> None:
    failed = {**record(2, maybe_usd=0.5), "type": "error", "completion": None}
    begun(tmp_path, failed)
    ledger.begin(tmp_path, Money(), journal_size=(tmp_path / JOURNAL).stat().st_size)
    book = Ledger(tmp_path)
    book.enter(2, hold=3 * 10**11)  # killed while it was asked again
    book.close()
    assert SavedRun(tmp_path).summary["run"]["maybe_billed_usd"] == 0.8


def test_the_sessions_so_far_are_told(tmp_path: Path) -> None:
    session = {"started": "then", "finished": "later", "asked": 1}
    found = unfinished(begun(tmp_path, record(0), journal.session_line(session)))
    assert found is not None
    assert found.facts()["sessions"] == [session]


def test_records_that_do_not_belong_to_the_requests_are_damage(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"journal.jsonl: has 'x' as number 1, requests.jsonl 'd1'"):
        _ = SavedRun(begun(tmp_path, {**record(1), "dialogue_id": "x"})).summary


def test_a_run_that_has_not_begun_or_is_complete_is_not_unfinished(tmp_path: Path) -> None:
    assert unfinished(tmp_path) is None
    (tmp_path / JOURNAL).write_bytes(b'{"journal": 2, "cou')
    assert unfinished(tmp_path) is None


@pytest.mark.skipif(not LOCKS.exists(), reason="this system does not list its locks")
def test_a_run_that_is_going_on_is_told_from_one_that_was_stopped(tmp_path: Path) -> None:
    found = unfinished(begun(tmp_path, record(0)))
    assert found is not None
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert is_locked(tmp_path)
        assert found.facts()["state"] == "running"
    finally:
        os.close(fd)
    assert not is_locked(tmp_path)
