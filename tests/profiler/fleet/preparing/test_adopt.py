from __future__ import annotations

from pathlib import Path

import msgspec

from profiler.dataset.places import Place
from profiler.fleet.preparing.adopt import adopt
from profiler.metrics.builtin import BUILTIN
from profiler.storage import journal
from profiler.storage.money import Money
from profiler.storage.names import JOURNAL, LEDGER
from profiler.storage.shared_runs.candidate_money import money_in
from profiler.storage.shared_runs.range_table import Table
from profiler.storage.shared_runs.ranges import RangeFolders
from tests.profiler.building import line_of, record
from tests.profiler.storage.directories import COUNT, IDENTITY, opened


def test_what_one_process_has_spent_is_what_several_have_spent(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.tell_session({"started": "now"})
        run.journal.write(b"".join(line_of(record(index, cost_usd=0.25, maybe_usd=0.5)) for index in (6, 1, 7)))
        ledger = run.open_ledger()
        ledger.write(ledger.enter(2, hold=0), paid=1, maybe=2, hold=4)
    places = [Place(0, 0, 1), Place(5, 50, 6)]
    table = Table(count=COUNT, identity=IDENTITY, started=None, dataset_stamp=(1, 2, 3), copied=False, places=places)
    folders = RangeFolders(tmp_path)

    adopt(tmp_path, table, folders, tuple(BUILTIN.values()))

    assert folders.money() == Money(3 * 250_000_000_000 + 1, 3 * 500_000_000_000 + 6, 1)
    assert [money_in(each.folder).spent for each in folders.candidates()] == [250_000_000_000, 500_000_000_000]
    headers = [journal.read_header(each.folder / JOURNAL) for each in folders.candidates()]
    assert [(each.first, each.count) for each in headers if each is not None] == [(0, 5), (5, COUNT - 5)]
    merged = folders.merged()
    assert merged is not None
    assert (merged.end, merged.sessions) == (0, [{"started": "now"}])
    assert not {JOURNAL, LEDGER}.intersection(path.name for path in tmp_path.iterdir())
    assert folders.table() == table
    assert msgspec.json.decode(bytes(merged.counted))["format"] == 1
