"""A run by several processes, while it goes on, is one run for whoever looks at it from elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from profiler.cli.main import main
from profiler.cli.progress import as_line
from profiler.cli.watch import Followed
from profiler.engine import onlookers
from profiler.fleet.messages import Status
from profiler.fleet.preparing import prepare
from profiler.fleet.workers import range_worker
from profiler.manifest.settings import MockSettings
from tests.profiler.fleet.inline import InlineDriver, arranged
from tests.profiler.fleet.sites import by_several, dataset, experiment

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.fleet.messages import Report

COUNT = 240


async def test_watch_list_and_summarize_see_one_run_and_the_process_that_it_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr(onlookers, "STATUS_EVERY_S", 0.01)
    monkeypatch.setattr(range_worker, "STATUS_EVERY_S", 0.01)
    folder = tmp_path / "several" / "shared"
    seen: dict[str, Any] = {}

    def arrange(driver: InlineDriver) -> None:
        def heard(worker: int, report: Report) -> None:
            if worker == 1 and isinstance(report, Status) and report.answered > 10:
                driver.stop(1)

        driver.on_report = heard

    async def said(*words: str) -> Any:
        code = await anyio.to_thread.run_sync(main, words)
        assert code == 0
        return json.loads(capsys.readouterr().out)

    async def look_from_elsewhere(fleet: Any) -> None:
        while not (fleet.look().lost and fleet.look().done > COUNT // 3):  # noqa: ASYNC110 (the run knows nothing of us)
            await anyio.sleep(0.005)
        followed = Followed(folder)
        while not (followed.heard_of and followed.look().lost):
            followed.refresh()
            await anyio.sleep(0.005)
        seen["line"] = as_line(followed.look())
        seen["list"] = await said("list", str(tmp_path / "several"), "--json")
        seen["summary"] = await said("summarize", "--log-dir", str(folder), "--json")

    asked = experiment(dataset(tmp_path, COUNT), mock=MockSettings(latency_s=0.03), concurrency=4)
    done = await by_several(asked, tmp_path / "several", processes=2, on=arranged(arrange), watch=look_from_elsewhere)

    assert done.summary["counts"]["total"] == COUNT
    assert "shared [MOCK] " in seen["line"]
    assert f"/{COUNT} (" in seen["line"]
    assert " processes, 1 lost | " in seen["line"] or " process, 1 lost | " in seen["line"]
    (row,) = seen["list"]["runs"]
    run, counts = seen["summary"]["run"], seen["summary"]["counts"]
    assert (row["state"], row["dialogues"]) == ("running", COUNT)
    assert (run["state"], run["dialogues"]) == ("running", COUNT)
    assert COUNT // 5 < row["kept"] <= run["kept"] == counts["total"] < COUNT
