"""The bill of a run that is put together: everything that any candidate has spent, once."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest

from profiler.core.errors import LogError
from profiler.fleet import merging
from profiler.fleet.merging import Merger
from profiler.metrics import state_json
from profiler.metrics.builtin import resolve
from profiler.metrics.reduction import Reduction
from profiler.storage import run_directory
from profiler.storage.money import Money
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES, SCORES
from profiler.storage.shared_runs.candidate_money import inherited, own_money
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.shared_runs.ranges import RangeFolders
from tests.profiler.building import line_of, record
from tests.profiler.storage.directories import opened
from tests.profiler.storage.shared_runs.test_ranges import SIZE, table

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.storage.shared_runs.ranges import Candidate, Merged

DOLLAR = 10**12
METRICS = resolve(())


class Run:
    """Two candidates for one range: the first has answered an item and is taken for lost, the second takes that over."""

    def __init__(self, folder: Path) -> None:
        self.folders = RangeFolders(folder)
        self.folders.begin(table())
        self.merger = Merger(folder, self.folders, table(), METRICS, sync=False)
        self.zombie = self.folders.begin_candidate(0)
        with opened(self.zombie.folder) as run:
            run.journal.write(line_of(record(0, cost_usd=1.0)))
            ledger = run.open_ledger()
            ledger.write(ledger.enter(1, hold=0), paid=0, maybe=0, hold=DOLLAR // 2)
        self.second = self.folders.begin_candidate(0)
        pay(self.second, 2, 2.0)

    def merge_all(self) -> None:
        """The second candidate wins."""
        money = own_money(self.second.folder)
        for name in (REQUESTS, RESPONSES, SCORES):
            (self.second.folder / name).write_bytes(b"")
        counted = msgspec.Raw(state_json.dump(Reduction(METRICS)))
        assert self.folders.commit(self.second, Committed(first=0, end=SIZE, money=money, counted=counted))
        self.merger.advance()
        self.merger.save()


def pay(candidate: Candidate, item: int, usd: float) -> None:
    with (candidate.folder / JOURNAL).open("ab") as file:
        file.write(line_of(record(item, cost_usd=usd)))


def test_what_a_candidate_has_taken_over_is_counted_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert inherited(run.second.folder) == Money(DOLLAR, DOLLAR // 2, 1)
    bill = Money(3 * DOLLAR, DOLLAR // 2, 1)
    assert run.folders.money() == bill

    run.merge_all()

    assert run.merger.merged.money == run.folders.money() == bill
    assert run.merger.merged.twice == Money()
    assert not run.folders.candidates()
    assert not run.folders.all_done()


def test_what_a_lost_process_pays_on_is_in_the_bill_for_as_long_as_it_lives(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run_directory.hold(run.zombie.folder, tell=print):
        pay(run.zombie, 3, 0.25)
        run.merge_all()
        assert run.merger.merged.money.spent == run.folders.money().spent == 3.25 * DOLLAR

        pay(run.zombie, 4, 0.5)  # all is put together, and the process writes on
        assert run.folders.money().spent == 3.75 * DOLLAR
        again = Merger(tmp_path, run.folders, table(), METRICS, sync=False)  # as another command would find it
        again.count_the_late()
        again.count_the_late()
        pay(run.zombie, 5, 1.0)

    again.count_the_late()
    assert again.merged.money.spent == run.folders.money().spent == 4.75 * DOLLAR
    assert again.merged.twice.spent == 1.75 * DOLLAR
    assert not run.folders.candidates()
    assert not run.folders.all_done()


def test_who_comes_late_cannot_take_the_place_of_what_was_put_together(tmp_path: Path) -> None:
    run = Run(tmp_path)
    counted = msgspec.Raw(state_json.dump(Reduction(METRICS)))
    late = Committed(first=0, end=SIZE, money=Money(9), counted=counted)
    with run_directory.hold(run.zombie.folder, tell=print):
        run.merge_all()
        assert not run.folders.commit(run.zombie, late)

    run.merger.count_the_late()
    assert run.merger.merged.money.spent == 3 * DOLLAR


def test_a_kill_before_the_folders_go_changes_no_bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    monkeypatch.setattr(RangeFolders, "forget", lambda *_: None)
    run.merge_all()
    monkeypatch.undo()

    again = Merger(tmp_path, run.folders, table(), METRICS, sync=False)
    again.count_the_late()

    assert again.merged.money == run.folders.money() == Money(3 * DOLLAR, DOLLAR // 2, 1)
    assert not run.folders.candidates()
    assert not run.folders.all_done()


def test_what_a_process_spends_after_it_was_counted_and_before_it_dies_is_in_the_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, note = Run(tmp_path), RangeFolders.note
    alive = ExitStack()
    alive.enter_context(run_directory.hold(run.zombie.folder, tell=print))

    def noted(folders: RangeFolders, merged: Merged) -> None:
        note(folders, merged)
        pay(run.zombie, 3, 0.25)
        alive.close()

    with monkeypatch.context() as patched:
        patched.setattr(RangeFolders, "note", noted)
        run.merge_all()
    run.merger.count_the_late()
    assert run.merger.merged.money.spent == run.folders.money().spent == 3.25 * DOLLAR
    assert not run.folders.candidates()


def test_of_what_candidates_have_told_only_the_last_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "TOLD", 1)
    run = Run(tmp_path)
    run.merge_all()
    found = run.folders.merged()
    assert found is not None
    assert found.told == {run.zombie.folder.name: 1.5 * DOLLAR}


def test_answers_are_not_cut_away_because_what_vouches_for_them_is_gone(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.merge_all()
    (tmp_path / RESPONSES).write_bytes(b"paid for\n")
    (run.folders.root / "merged.json").unlink()
    with pytest.raises(LogError, match=r"has answers, and .*merged\.json, which vouches for them, is gone"):
        Merger(tmp_path, run.folders, table(), METRICS, sync=False)
    assert (tmp_path / RESPONSES).read_bytes() == b"paid for\n"


def test_what_was_appended_before_anything_vouched_for_it_is_appended_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Merger, "save", lambda _: None)
        run.merge_all()
    (tmp_path / RESPONSES).write_bytes(b"half of it")
    again = Merger(tmp_path, run.folders, table(), METRICS, sync=False)
    again.advance()
    assert again.end == SIZE
    assert (tmp_path / RESPONSES).read_bytes() == b""
