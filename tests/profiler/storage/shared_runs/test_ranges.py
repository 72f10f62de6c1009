"""Commit: whatever processes are lost, double or late, every item counts once, and no answer is mixed with another's."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from profiler.core.errors import LogError, StorageError
from profiler.storage.money import Money
from profiler.storage.names import COMMITTED, INHERITED, JOURNAL, LEDGER, REQUESTS, RESPONSES, TABLE
from profiler.storage.shared_runs.candidate_money import inherited, money_in, own_money
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.shared_runs.range_table import Table, read_table
from profiler.storage.shared_runs.ranges import Candidate, RangeFolders
from tests.profiler.building import line_of, record
from tests.profiler.storage.directories import opened, write

COUNT, SIZE = 24, 8
MEMORY = Path("/dev/shm")  # where there is one: thousands of renames are synced


def table(**fields: Any) -> Table:
    usual: dict[str, Any] = {
        "count": COUNT,
        "identity": {},
        "started": None,
        "dataset_stamp": (1, 2, 3),
        "copied": False,
    }
    return Table(**{**usual, "places": [], **fields})


def committed(first: int, end: int, who: int = 0) -> Committed:
    return Committed(first=first, end=end, money=Money(who), counted=msgspec.Raw(b"{}"))


class Claims(RuleBasedStateMachine):
    """Processes that claim ranges twice, are taken for dead and go on all the same, give up their rest, and commit late.

    One who hands ranges out gives every item that nobody has committed to somebody, sometimes twice.
    """

    candidates = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.run = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.folders = RangeFolders(self.run)
        self.folders.begin(table())
        self.chains: list[list[tuple[int, int, int]]] = []
        self.who = 0

    def teardown(self) -> None:
        shutil.rmtree(self.run)

    @property
    def walked(self) -> list[tuple[int, int, int]]:
        found = []
        for start in range(0, COUNT, SIZE):
            found += [(each.first, each.end, each.money.spent) for each in self.folders.chain(start, start + SIZE)]
        return found

    @rule(target=candidates, start=st.sampled_from(range(0, COUNT, SIZE)), cut=st.integers(1, SIZE))
    def claim(self, start: int, cut: int) -> tuple[Candidate, int, int]:
        """What is owed of a range, and only a piece of it where the rest was stolen."""
        chain = list(self.folders.chain(start, start + SIZE))
        first = chain[-1].end if chain else start
        if first == start + SIZE:
            first = start  # a double claim of what is done already
        self.who += 1
        return self.folders.begin_candidate(first), min(first + cut, start + SIZE), self.who

    @rule(claimed=consumes(candidates))
    def commit(self, claimed: tuple[Candidate, int, int]) -> None:
        candidate, end, who = claimed
        before = self.folders.committed(candidate.first)
        won = self.folders.commit(candidate, committed(candidate.first, end, who))
        now = self.folders.committed(candidate.first)
        assert won == (before is None)
        assert now is not None
        assert now.money.spent == (who if before is None else before.money.spent)

    @invariant()
    def who_walks_from_end_to_beginning_meets_all_that_is_committed_in_between(self) -> None:
        ends = {first: found.end for first in self.folders.all_done() if (found := self.folders.committed(first))}
        for start in range(0, COUNT, SIZE):
            at, met = start, []
            while at in ends and at < start + SIZE:
                met.append((at, ends[at]))
                at = ends[at]
            assert [(each.first, each.end) for each in self.folders.chain(start, start + SIZE)] == met

    @invariant()
    def what_was_counted_stays_and_every_item_counts_once(self) -> None:
        walked = self.walked
        items = [item for first, end, _ in walked for item in range(first, end)]
        assert items == sorted(set(items))
        if self.chains:
            assert set(self.chains[-1]) <= set(walked)
        self.chains.append(walked)


Claims.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestCommit = Claims.TestCase


def test_a_commit_names_its_candidate_as_runs_of_earlier_versions_do(tmp_path: Path) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    second = [folders.begin_candidate(0) for _ in range(2)][1]
    said = msgspec.structs.replace(committed(0, SIZE), candidate=second.number)
    assert folders.commit(second, said)
    content = (tmp_path / "fleet" / "done" / "0" / COMMITTED).read_bytes()
    assert msgspec.json.decode(content)["attempt"] == 1
    assert folders.committed(0) == said


def test_a_new_candidate_has_what_the_last_one_had_and_zombies_write_into_their_own(tmp_path: Path) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    first = folders.begin_candidate(0)
    with opened(first.folder) as run:
        anyio.run(write, run, range(3), [2, 0])
    second = folders.begin_candidate(0)
    assert [candidate.number for candidate in folders.candidates(0)] == [0, 1]
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()}.items() <= {
        path.name: path.read_bytes() for path in second.folder.iterdir()
    }.items()
    with (first.folder / JOURNAL).open("ab") as file:
        file.write(line_of(record(1)))
    with opened(second.folder) as run:
        assert (run.kept, run.asked) == (2, 3)


def test_what_is_taken_over_is_on_the_device_before_anybody_relies_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    with opened(folders.begin_candidate(0).folder) as run:
        run.journal.write(line_of(record(0, cost_usd=0.25)))
        run.open_ledger()
    forced: list[int] = []

    def noted(fd: int) -> None:
        forced.append(os.fstat(fd).st_ino)

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, noted)
    folders.begin_candidate(0, sync=False)
    assert not forced
    last = folders.begin_candidate(0).folder
    assert {*forced} == {(last / name).stat().st_ino for name in (JOURNAL, LEDGER, INHERITED, ".")}


def test_a_candidate_that_cannot_be_begun_is_an_error_of_the_disk_and_leaves_nothing(tmp_path: Path) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    first = folders.begin_candidate(0)
    (first.folder / JOURNAL).mkdir()  # so it cannot be copied
    with pytest.raises(StorageError, match="Is a directory"):
        folders.begin_candidate(0)
    assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]
    shutil.rmtree(first.folder.parent)
    with pytest.raises(StorageError, match="No such file or directory"):
        folders.begin_candidate(0)


@pytest.mark.parametrize("first_line", [b"", b'{"journal":2,"count":1'])
def test_logs_that_no_journal_vouches_for_are_not_taken_over(tmp_path: Path, first_line: bytes) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    first = folders.begin_candidate(0).folder
    for name, content in ((JOURNAL, first_line), (REQUESTS, b"{}\n"), (RESPONSES, b"{}\n")):
        (first / name).write_bytes(content)
    second = folders.begin_candidate(0).folder
    assert {path.name for path in second.iterdir()} == {JOURNAL, INHERITED}


def test_money_of_a_candidate_is_what_those_before_it_have_not_spent(tmp_path: Path) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    first = folders.begin_candidate(0)
    with opened(first.folder) as run:
        run.journal.write(line_of(record(0, cost_usd=0.25, maybe_usd=0.5)))
        ledger = run.open_ledger()
        ledger.write(ledger.enter(1, hold=0), paid=1, maybe=2, hold=4)
    second = folders.begin_candidate(0)
    at_once = Money(250_000_000_000 + 1, 500_000_000_000 + 6, 1)
    assert (money_in(second.folder), inherited(second.folder), own_money(second.folder)) == (at_once, at_once, Money())
    with (first.folder / JOURNAL).open("ab") as file:  # a zombie goes on paying
        file.write(line_of(record(2, cost_usd=1.0)))
    assert own_money(first.folder) + own_money(second.folder) == at_once + Money(10**12)


def test_who_comes_after_the_items_were_counted_and_cleared_away_has_lost(tmp_path: Path) -> None:
    folders = RangeFolders(tmp_path)
    folders.begin(table())
    late = folders.begin_candidate(0)
    folders.forget(0)
    assert not folders.commit(late, committed(0, SIZE))
    assert folders.committed(0) is None


def test_a_table_is_read_back_and_one_of_another_format_is_refused(tmp_path: Path) -> None:
    assert read_table(tmp_path) is None
    RangeFolders(tmp_path).begin(table())
    assert read_table(tmp_path) == table()
    assert RangeFolders(tmp_path).begin(table(count=9)) == table()  # the first who came has laid the ranges down
    (tmp_path / TABLE).write_bytes(msgspec.json.encode(table(format=2)))
    with pytest.raises(LogError, match="ranges in format 2, this version writes 1"):
        read_table(tmp_path)
