"""Of a cap over several experiments each shard has a part; together they never pass it, whoever else spends, and whatever is put
together in between."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.dataset.places import Place
from profiler.fleet.shards import whole_cap
from profiler.fleet.shards.whole_cap import left_to
from profiler.storage import summary_file
from profiler.storage.money import Money
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.shared_runs.range_table import Table
from profiler.storage.shared_runs.ranges import Merged, RangeFolders

CAP, RUNS = 1000, ("a", "b", "c")


def ranges_at(*firsts: int) -> Table:
    places = [Place(dialogue=first, offset=first, line=first) for first in firsts]
    stamp = (1, 2, 3)
    return Table(count=30, identity={}, started=None, dataset_stamp=stamp, copied=False, places=places)


class Array:
    """Shards of one job array, what they spend on which run, and what is known of it."""

    def __init__(self, of: int) -> None:
        self.of = of
        self.known: dict[str, list[int]] = defaultdict(lambda: [0] * of)
        self.unknown = 0
        self.allowed: dict[int, int] = {}  # of the shards that are at work, what they may still spend

    @property
    def gone(self) -> int:
        return self.unknown + sum(map(sum, self.known.values()))

    def start(self, shard: int) -> None:
        self.allowed[shard] = left_to(
            shard, of=self.of, cap=CAP, runs=[Path(name) for name in RUNS], gone=lambda: self.gone
        )

    def spend(self, shard: int, run: str, amount: int) -> None:
        amount = min(amount, self.allowed.get(shard, 0))
        self.known[run][shard] += amount
        if shard in self.allowed:
            self.allowed[shard] -= amount

    def whole_command(self, run: str, amount: int) -> None:
        """Waits until no shard is at work; what it finishes is a sum from then on."""
        self.allowed.clear()
        spent = min(amount, CAP - self.gone)
        self.unknown += sum(self.known.pop(run, [])) + spent


@settings(max_examples=40)
@given(of=st.integers(1, 4), data=st.data())
def test_no_order_of_shards_and_other_commands_passes_the_cap(of: int, data: st.DataObject) -> None:
    array = Array(of)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(whole_cap, "_by_shard", lambda run, of: array.known[run.name][:of])
        for _ in range(data.draw(st.integers(1, 30))):
            shard, amount = data.draw(st.integers(0, of - 1)), data.draw(st.integers(0, CAP))
            run = data.draw(st.sampled_from(RUNS))
            match data.draw(st.sampled_from(["start", "spend", "spend", "end", "other"])):
                case "start":
                    array.start(shard)
                case "spend":
                    array.spend(shard, run, amount)
                case "end":
                    array.allowed.pop(shard, None)
                case _:
                    array.whole_command(run, amount)
            assert array.gone <= CAP


def test_who_began_when_less_was_gone_leaves_less_to_the_others() -> None:
    """One shard has used its half before another command spends 300 of what is left: the other shard has 200, not 350."""
    array = Array(2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(whole_cap, "_by_shard", lambda run, of: array.known[run.name][:of])
        array.start(0)
        array.spend(0, "a", CAP)
        array.whole_command("b", 300)
        array.start(1)
    assert array.allowed == {1: 200}


def test_shards_that_spend_all_they_may_use_the_whole_cap() -> None:
    array = Array(4)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(whole_cap, "_by_shard", lambda run, of: array.known[run.name][:of])
        for shard in range(4):
            array.start(shard)
            array.spend(shard, "a", CAP)
    assert array.gone == CAP


def test_what_a_shard_has_spent_is_known_before_between_and_after_it_is_put_together(tmp_path: Path) -> None:
    """Of ranges at 0, 10 and 20 the second shard of two has the one in the middle."""
    folders = RangeFolders(tmp_path)
    table = folders.begin(ranges_at(0, 10, 20))
    for first, spent in ((0, 70), (10, 50), (20, 7)):
        candidate = folders.begin_candidate(first)
        counted = msgspec.Raw(b"{}")
        folders.commit(candidate, Committed(first=first, end=first + 10, money=Money(spent), counted=counted))
    assert [table.range_of(first) % 2 for first in (0, 10, 20)] == [0, 1, 0]

    def left(shard: int) -> int:
        return left_to(shard, of=2, cap=CAP, runs=[tmp_path], gone=lambda: 127)

    assert (left(0), left(1)) == (CAP // 2 - 77, CAP // 2 - 50)

    folders.note(Merged(end=20, counted=msgspec.Raw(b"{}"), money=Money(120), by_shard=[77, 50]))
    assert (left(0), left(1)) == (CAP // 2 - 77, CAP // 2 - 50)

    folders.remove()
    summary = {"metrics": {}, "counts": {}, "run": {"spent_by_shard_usd": [77e-12, 50e-12]}}
    summary_file.write(tmp_path / "summary.json", summary)
    assert (left(0), left(1)) == (CAP // 2 - 77, CAP // 2 - 50)
    assert left_to(0, of=3, cap=CAP, runs=[tmp_path], gone=lambda: 127) == (CAP - 127) // 3  # as other shards
