"""What one process or several have begun is gone on with by several, or is refused with the reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from profiler.core.errors import (
    Interrupted,
    RunDirectoryError,
)
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.fleet.preparing import prepare
from profiler.manifest.settings import MockSettings
from profiler.storage.folder_lock import locked
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.fleet.sites import COMPLETE, by_one, by_several, dataset, experiment, results, stopping


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


async def test_a_run_that_several_share_is_not_mixed_with_one_by_one_process(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4)
    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "several", processes=2, watch=stopping(after=20))
    with pytest.raises(RunDirectoryError, match="holds a run that several processes share"):
        await by_one(asked, tmp_path / "several")
    with pytest.raises(RunDirectoryError, match="max_tokens: the run has 64, now it is 65"):
        await by_several(msgspec.structs.replace(asked, max_tokens=65), tmp_path / "several", processes=2)
    with locked(tmp_path / "several" / "shared"), pytest.raises(RunDirectoryError, match="another run is writing here"):
        await by_several(asked, tmp_path / "several", processes=2)
    told: list[str] = []
    with pytest.raises(Interrupted):
        await by_several(
            asked, tmp_path / "several", processes=2, watch=stopping(after=20), fresh=True, note=told.append
        )
    assert any(line.startswith("moved the earlier run to") for line in told)


async def test_a_dataset_that_was_changed_and_put_back_is_found_by_what_was_asked(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4)
    whole = await by_one(asked, tmp_path / "one")
    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "several", processes=2, watch=stopping(after=50))
    changed = tmp_path / "changed" / "shared"
    shutil.copytree(tmp_path / "several" / "shared", changed)
    asked.dataset_path.write_bytes(asked.dataset_path.read_bytes())  # written to, with the same words

    kept = next(path for path in changed.rglob("requests.jsonl") if path.stat().st_size)
    first, *rest = kept.read_bytes().splitlines(keepends=True)
    line = msgspec.json.decode(first)
    kept.write_bytes(b"".join([msgspec.json.encode({**line, "request_hash": "0" * 64}) + b"\n", *rest]))
    with pytest.raises(RunDirectoryError, match=f"{line['dialogue_id']!r} was asked in other words"):
        await by_several(asked, tmp_path / "changed", processes=2)

    done = await by_several(asked, tmp_path / "several", processes=2)
    assert results(done.folder) == whole


async def test_several_go_on_with_what_one_process_has_begun(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4, repeats=2)
    whole = await by_one(asked, tmp_path / "one")
    folder, options = (
        tmp_path / "several" / "shared",
        Options(output_dir=tmp_path / "several", mode="mock", fsync="off"),
    )
    with pytest.raises(Interrupted):
        await run(asked, options=options, watch=stopping(after=50))
    kept = SavedRun(folder).summary["run"]["kept"]
    copy = tmp_path / "killed" / "shared"
    shutil.copytree(folder, copy)
    done = await by_several(asked, tmp_path / "several", processes=3)
    assert results(done.folder) == whole
    assert done.kept == kept
    assert {path.name for path in done.folder.iterdir()} == COMPLETE

    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "killed", processes=1, watch=stopping(after=0))
    (copy / "journal.jsonl").write_bytes((copy / "fleet" / "attempts" / "0.0" / "journal.jsonl").read_bytes())
    done = await by_several(asked, tmp_path / "killed", processes=2)  # as if the kill had come before the journal went
    assert results(done.folder) == whole


async def test_other_metrics_count_again_what_was_counted_before(tmp_path: Path) -> None:
    path = dataset(tmp_path, 200)
    before = experiment(path, mock=MockSettings(latency_s=0.002), concurrency=4)
    now = msgspec.structs.replace(before, metrics=("refusal_rate", "fact_coverage"))
    whole = await by_one(now, tmp_path / "one")
    with pytest.raises(Interrupted):
        await by_several(before, tmp_path / "several", processes=2, watch=stopping(after=50))
    done = await by_several(now, tmp_path / "several", processes=2)
    assert results(done.folder) == whole


async def test_what_one_process_has_taken_over_from_earlier_runs_several_do_not_ask_again(tmp_path: Path) -> None:
    """The way on that --reuse with --processes names."""
    asked = experiment(dataset(tmp_path, 90), mock=MockSettings(latency_s=0.002), concurrency=2)
    await by_one(asked, tmp_path / "pilot", limit=30)
    reuse = (tmp_path / "pilot/shared",)
    options = Options(output_dir=tmp_path / "runs", mode="mock", fsync="off", reuse=reuse)
    with pytest.raises(Interrupted):
        await run(asked, options=options, watch=stopping(after=40))
    done = await by_several(asked, tmp_path / "runs", processes=2)
    assert done.summary["reused"]["n"] == 30
    assert results(done.folder) == await by_one(asked, tmp_path / "one", reuse=reuse)
