"""A power cut under several processes: what it may have torn is believed nowhere, and the end is that of one process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import ProfilerError
from profiler.engine.options import Options
from profiler.fleet.merging import Merger
from profiler.fleet.messages import Done
from profiler.fleet.preparing import prepare
from profiler.fleet.shards.merge import merge
from profiler.fleet.shards.shard import run_shard
from profiler.fleet.shards.which_shard import Shard
from profiler.manifest.settings import MockSettings
from profiler.results.listing import rows
from profiler.storage import boot
from profiler.storage.names import COMMITTED, JOURNAL, REQUESTS, RESPONSES, SCORES
from profiler.storage.shared_runs.ranges import RangeFolders
from tests.profiler.fleet.inline import InlineDriver, arranged, inline
from tests.profiler.fleet.sites import by_one, by_several, dataset, experiment, results

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.fleet.messages import Report
    from profiler.manifest.settings import Experiment

ITEMS = 90
SOURCE = """
from profiler.manifest.settings import MockSettings
from profiler.provider.mock import MockClient

def mine(_):
    return MockClient(MockSettings())
"""


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The machine starts, and draws this id."""
    path = tmp_path / "boot_id"
    monkeypatch.setattr(boot, "BOOT_ID", path)

    def started(boot_id: str) -> None:
        path.write_text(f"{boot_id}\n")

    started("the first")
    return started


async def all_committed(asked: Experiment, runs: Path, monkeypatch: pytest.MonkeyPatch, *, fsync: str) -> RangeFolders:
    """A run that has committed everything and put nothing together, as if its coordinator had been killed."""
    with monkeypatch.context() as patched:
        patched.setattr(Merger, "advance", lambda _: None)
        with pytest.raises(ProfilerError, match="no worker is left"):
            await by_several(asked, runs, processes=2, fsync=fsync)
    found = RangeFolders(runs / "shared")
    assert len(found.all_done()) > 2
    return found


def torn(path: Path, how: str) -> None:
    content = path.read_bytes()
    damaged = {
        "empty": b"",
        "short": content[: len(content) // 2],
        "zeros": content[:100] + bytes(len(content) - 100),
        "gone": None,
    }[how]
    if damaged is None:
        path.unlink()
    else:
        path.write_bytes(damaged)


@pytest.mark.parametrize(
    ("fsync", "how"), [("interval", "short"), ("interval", "zeros"), ("off", "empty"), ("off", "gone")]
)
async def test_what_was_committed_before_a_power_cut_is_made_again_from_what_is_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], None], fsync: str, how: str
) -> None:
    asked = experiment(dataset(tmp_path, ITEMS))
    whole = await by_one(asked, tmp_path / "one")
    folders = await all_committed(asked, tmp_path / "several", monkeypatch, fsync=fsync)
    for first in folders.all_done():
        for name in (REQUESTS, RESPONSES, SCORES):
            torn(folders.done(first) / name, how)
    start("the second")
    kept = ITEMS if fsync == "interval" else 0  # the journals were forced to the device, or nothing was
    if how != "zeros":
        (row,) = rows(tmp_path / "several")
        assert (row.state, row.kept) == ("unfinished", kept)
    done = await by_several(asked, tmp_path / "several", processes=3, fsync=fsync)
    assert results(done.folder) == whole
    assert (done.kept, done.answered_now) == (kept, ITEMS - kept)


async def test_what_was_committed_is_used_after_a_mere_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], None]
) -> None:
    asked = experiment(dataset(tmp_path, ITEMS))
    whole = await by_one(asked, tmp_path / "one")
    folders = await all_committed(asked, tmp_path / "several", monkeypatch, fsync="off")
    for first in folders.all_done():
        assert not (folders.done(first) / JOURNAL).exists()  # so whatever is answered comes from the logs
    done = await by_several(asked, tmp_path / "several", processes=2)
    assert results(done.folder) == whole
    assert (done.kept, done.answered_now) == (ITEMS, 0)


async def test_shards_and_merge_do_not_believe_it_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], None]
) -> None:
    asked = experiment(dataset(tmp_path, ITEMS))
    whole = await by_one(asked, tmp_path / "one")
    folders = await all_committed(asked, tmp_path / "runs", monkeypatch, fsync="off")
    for first in folders.all_done():
        torn(folders.done(first) / RESPONSES, "short")
    start("the second")
    options = Options(output_dir=tmp_path / "runs", mode="mock", fsync="off")
    with pytest.raises(ProfilerError, match=f"{ITEMS} of {ITEMS} items are not answered yet"):
        merge(asked, options=options, note=print)
    for number in (1, 0):
        await run_shard(asked, shard=Shard(number, 2), options=options, note=print, on=inline)
    start("the third")  # what a shard has committed counts for good
    assert results(merge(asked, options=options, note=print).folder) == whole


async def test_a_second_power_cut_while_the_first_is_repaired_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], None]
) -> None:
    asked = experiment(dataset(tmp_path, ITEMS))
    whole = await by_one(asked, tmp_path / "one")
    folders = await all_committed(asked, tmp_path / "runs", monkeypatch, fsync="interval")
    firsts = folders.all_done()
    start("the second")
    folders.reopen(of=lambda first: first == firsts[0])
    candidate = folders.begin_candidate(firsts[0])  # it has the name that the second one would have, if that was lost
    shutil.rmtree(folders.candidate(firsts[0], candidate.number - 1).folder)
    assert len(folders.candidates(firsts[0])) == 1
    start("the third")
    done = await by_several(asked, tmp_path / "runs", processes=2, fsync="interval")
    assert results(done.folder) == whole
    assert done.kept == ITEMS


class Synced:
    """What is forced to the device, by the system call that does it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[Path] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._noting(getattr(os, name)))

    def _noting(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def noted(fd: int) -> None:
            self.paths.append(Path(f"/proc/self/fd/{fd}").readlink())
            sync(fd)

        return noted

    def of_candidates(self, name: str) -> int:
        found = [path for path in self.paths if path.name.removeprefix(".").removesuffix(".tmp") == name]
        return sum("attempts" in path.parts for path in found)

    def of_run(self, run: Path, name: str) -> int:
        return self.paths.count(run / name)


@pytest.mark.parametrize(
    ("fsync", "client", "times"), [("interval", None, 0), ("always", None, 1), ("interval", "own:mine", 1)]
)
async def test_logs_reach_the_device_once_where_nobody_pays_and_before_the_commit_where_somebody_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str, client: str | None, times: int
) -> None:
    (tmp_path / "own.py").write_text(SOURCE)
    asked = experiment(dataset(tmp_path, ITEMS), client=client, mock=MockSettings())
    synced, ranges = Synced(monkeypatch), set[int]()

    def heard(_: int, report: Report) -> None:
        if isinstance(report, Done):
            ranges.add(report.first)

    def arrange(driver: InlineDriver) -> None:
        driver.on_report = heard

    how = {"on": arranged(arrange), "fsync": fsync, "search_path": tmp_path}
    done = await by_several(asked, tmp_path / "runs", processes=2, **how)
    for name in (REQUESTS, RESPONSES, SCORES):
        assert synced.of_candidates(name) == times * len(ranges)
    assert synced.of_candidates(COMMITTED) == len(ranges)
    assert synced.of_candidates(JOURNAL) >= len(ranges)
    assert synced.of_run(done.folder, REQUESTS)
    assert synced.of_run(done.folder, RESPONSES)
    assert synced.of_run(done.folder, "fleet/scores.jsonl")
    last = max(number for number, path in enumerate(synced.paths) if path.name.startswith(".merged.json"))
    assert {path.name for path in synced.paths[:last]} >= {REQUESTS, RESPONSES, SCORES}
