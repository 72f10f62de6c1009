from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import Interrupted
from profiler.fleet.preparing import prepare
from profiler.manifest.settings import MockSettings
from profiler.storage import journal
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet
from profiler.storage.shared_runs.range_table import read_table
from tests.profiler.fleet.sites import by_several, dataset, experiment, stopping

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_range_that_goes_while_its_money_is_counted_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    asked = experiment(dataset(tmp_path, 90), mock=MockSettings(latency_s=0.002), concurrency=4)
    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "runs", processes=2, watch=stopping(after=20))
    begun = tmp_path / "runs" / "shared"
    table, read_header, gone = read_table(begun), journal.read_header, list[str]()
    assert table is not None

    def read_and_gone(path: Path) -> journal.Header | None:
        header = read_header(path)
        if not gone:
            gone.append(path.parent.name)
            shutil.rmtree(path.parent)
        return header

    monkeypatch.setattr(journal, "read_header", read_and_gone)
    found = UnfinishedFleet(begun, table)
    assert len(gone) == 1
    assert 0 < found.kept == sum(found.done())
