"""The cap of a run by several processes while its workers, its broker and its coordinator are killed: the server, which
keeps the bill, never counts more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.fleet_storm import storm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kills"), [(1, 5), pytest.param(2, 40, marks=pytest.mark.long)])
def test_the_cap_holds_over_kills_of_every_part(tmp_path: Path, seed: int, kills: int) -> None:
    report = storm(tmp_path, kills=kills, seed=seed)

    assert report.violations == []
    assert report.kills.total() >= kills - 2
    assert report.finished + report.capped > 0
    assert report.most_of_the_cap > 0.3  # a kill costs what the calls in flight may have cost
