"""Both logs are in dataset order and grow while the run goes on, whatever is slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.runs import LOGS, Site, dialogues, ended, size, wait_until, whole_lines, whole_records


@pytest.mark.parametrize("concurrency", [1, 7, 200])
def test_logs_are_in_dataset_order_at_any_concurrency(tmp_path: Path, concurrency: int) -> None:
    latency = {"median_s": 0.0005 * concurrency**0.5, "sigma": 1.5}
    site = Site(folder=tmp_path).write(dialogues(250), concurrency=concurrency, mock={"latency_s": latency})

    assert site.run_here().code == 0

    for name in LOGS:
        records = whole_records(site.run_dir / name)
        assert [record["dialogue_id"] for record in records] == [f"d{number}" for number in range(250)]
        assert [record["index"] for record in records] == list(range(250))


def test_logs_grow_in_order_while_the_run_goes_on(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(
        dialogues(300), concurrency=8, mock={"latency_s": {"median_s": 0.03, "sigma": 0.5}}
    )
    process = site.start()

    assert wait_until(process, lambda: len(whole_lines(site.responses)) > 0)
    first = len(whole_lines(site.responses))
    assert wait_until(process, lambda: len(whole_lines(site.responses)) > first)
    seen = [record["index"] for record in whole_records(site.responses)]
    assert process.poll() is None

    assert len(seen) < 300
    assert seen == list(range(len(seen)))
    assert ended(process).code == 0
    assert len(whole_lines(site.responses)) == 300


def test_a_straggler_holds_up_nobody_but_the_log_in_order(tmp_path: Path) -> None:
    items = dialogues(200)
    items[0]["do"] = "hang"
    site = Site(folder=tmp_path).write(
        items, client="Naughty", concurrency=4, timeout_s=2.0, retry={"max_attempts": 1, "deadline_s": 60}
    )
    process = site.start()

    assert wait_until(process, lambda: len(site.answered()) == 199)
    waiting = size(site.responses)
    assert process.poll() is None

    assert waiting == 0
    assert "d0" not in site.answered()
    assert ended(process).code == 0
    assert [record["index"] for record in whole_records(site.responses)] == list(range(200))
    assert [record["type"] for record in whole_records(site.responses)].count("error") == 1
