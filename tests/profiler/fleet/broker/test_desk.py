"""What a dead worker has spent is told by its folder, also by one that was committed; only what nobody can tell counts as lent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.messages import Envelope, Gone, MoneyUse, Renewal
from profiler.fleet.broker.settings import BrokerSettings
from profiler.fleet.merging import Merger
from profiler.metrics import state_json
from profiler.metrics.builtin import resolve
from profiler.metrics.reduction import Reduction
from profiler.storage.money import Money
from profiler.storage.names import REQUESTS, RESPONSES, SCORES
from profiler.storage.shared_runs.candidate_money import own_money
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.shared_runs.ranges import RangeFolders
from tests.profiler.building import line_of, record
from tests.profiler.storage.directories import opened
from tests.profiler.storage.shared_runs.test_ranges import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.fleet.broker.purse import Purse
    from profiler.storage.shared_runs.ranges import Candidate

CAP, LENT = 1000, 400
METRICS = resolve(())


@pytest.fixture
def folders(tmp_path: Path) -> RangeFolders:
    found = RangeFolders(tmp_path)
    found.make()
    return found


@pytest.fixture
def desk(folders: RangeFolders) -> Iterator[Desk]:
    found = Desk(BrokerSettings(workers=2, concurrency=8, cap=CAP, answered_before=True), folder=folders.root)
    yield found
    found.close()


def lend(desk: Desk, candidate: Candidate) -> Purse:
    use = MoneyUse(more=LENT, least=10, candidates={f"attempts/{candidate.folder.name}": 0})
    desk.answer(Envelope(renewal=Renewal(who="w", seq=1, want_slots=4, money=use)))
    assert desk.purse is not None
    assert (desk.purse.gone, desk.purse.free) == (0, CAP - LENT)
    return desk.purse


def committed(candidate: Candidate, money: Money) -> Committed:
    counted = msgspec.Raw(b"{}")
    return Committed(
        first=candidate.first, end=candidate.first + 5, candidate=candidate.number, money=money, counted=counted
    )


def dies(desk: Desk) -> None:
    desk.answer(Envelope(gone=Gone(who="w")))


def test_who_dies_after_a_commit_has_spent_what_the_committed_range_says(folders: RangeFolders, desk: Desk) -> None:
    candidate = folders.begin_candidate(0)
    purse = lend(desk, candidate)
    assert folders.commit(candidate, committed(candidate, Money(30, 5)))
    dies(desk)
    assert (purse.gone, purse.free) == (35, CAP - 35)


@pytest.mark.parametrize("won", [True, False])
def test_who_dies_after_its_range_was_put_together_has_spent_what_was_counted_then(
    folders: RangeFolders, desk: Desk, *, won: bool
) -> None:
    """The folders are gone by then, of the candidate that counts and of the one that came too late."""
    candidate = folders.begin_candidate(0)
    with opened(candidate.folder) as run:
        run.journal.write(line_of(record(0, cost_usd=30e-12, maybe_usd=5e-12)))
    purse = lend(desk, candidate)
    winner = candidate if won else folders.begin_candidate(0)
    for name in (REQUESTS, RESPONSES, SCORES):
        (winner.folder / name).write_bytes(b"")
    counted = msgspec.Raw(state_json.dump(Reduction(METRICS)))
    said = Committed(first=0, end=5, candidate=winner.number, money=own_money(winner.folder), counted=counted)
    assert folders.commit(winner, said)
    merger = Merger(folders.root.parent, folders, table(count=10), METRICS, sync=False)
    merger.advance()
    merger.save()
    assert not folders.all_done()
    assert not candidate.folder.exists()
    dies(desk)
    assert (purse.gone, purse.free) == (35, CAP - 35)


def test_the_commit_of_another_candidate_tells_nothing_of_this_one(folders: RangeFolders, desk: Desk) -> None:
    candidate = folders.begin_candidate(0)
    purse = lend(desk, candidate)
    other = folders.begin_candidate(0)
    assert folders.commit(other, committed(other, Money(30, 5)))
    candidate.folder.rename(folders.root / "gone")
    dies(desk)
    assert (purse.gone, purse.free) == (LENT, CAP - LENT)


def test_a_folder_that_nobody_has_seen_counts_all_that_was_lent(folders: RangeFolders, desk: Desk) -> None:
    candidate = folders.begin_candidate(0)
    purse = lend(desk, candidate)
    candidate.folder.rmdir()
    dies(desk)
    assert (purse.gone, purse.free) == (LENT, CAP - LENT)


@pytest.mark.parametrize(("who", "served"), [("0@b", True), ("0@b+", True), ("0@a", False)])
def test_who_worked_for_another_experiment_gets_nothing(folders: RangeFolders, who: str, *, served: bool) -> None:
    desk = Desk(BrokerSettings(workers=2, concurrency=8, cap=CAP, session="@b"), folder=folders.root)
    use = MoneyUse(more=LENT, least=10, candidates={"attempts/0.0": 0})
    lease = desk.answer(Envelope(renewal=Renewal(who=who, seq=1, want_slots=4, money=use)))
    desk.close()

    assert lease.lost != served
    assert bool(lease.money) == bool(lease.slots) == served
