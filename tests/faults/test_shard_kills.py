"""kill -9 of shards and of merge: the end is that of a run by one process, to the byte."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.faults.shard_storm import storm

NO_STORE = importlib.util.find_spec("obstore") is None


@pytest.mark.long
@pytest.mark.parametrize(
    "store",
    [False, pytest.param(True, marks=pytest.mark.skipif(NO_STORE, reason="the extra object-store is not installed"))],
    ids=["shared folder", "store"],
)
def test_kills_of_shards_and_merges_at_random_moments_change_nothing(tmp_path: Path, store: bool) -> None:
    report = storm(tmp_path, kills=10, seed=5, store=store)
    assert report.violations == []
    assert report.shards_killed >= 4
    assert report.merges_killed >= 1
    assert report.finished >= 2
