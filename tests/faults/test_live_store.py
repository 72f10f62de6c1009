"""Shards that meet in an object store and pay: what the run says it has cost is what the server has billed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from profiler.cli.main import main
from tests.faults.live import live_site, provider
from tests.faults.runs import dialogues
from tests.faults.test_live_money import billed_usd

pytest.importorskip("obstore", reason="the extra object-store is not installed")

COUNT = 300


def test_a_lost_disk_is_paid_once_and_the_bill_is_that_of_the_server(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(COUNT), concurrency=8)
    store = ("--store", (tmp_path / "store").as_uri())
    with provider(site, latency_s=0.005) as paid:
        first = site.at("machine0").run_here("--shard", "0/2", "--max-cost", "0.006", *store)
        assert first.code == 4, first
        assert 0.5 * 0.003 < billed_usd(paid) <= 0.003  # its share of the cap
        shutil.rmtree(tmp_path / "machine0")
        for number in (0, 1):
            again = site.at(f"machine{number + 1}").run_here("--shard", f"{number}/2", "--max-cost", "1", *store)
            assert again.code == 0, again
        asked = paid.asked()
        assert (len(asked), set(asked.values())) == (COUNT, {1})
        billed = billed_usd(paid)
    # Whoever merges asks nobody, and need not know the key and the address that the shards had in their environment.
    assert main(["merge", "--config", str(site.manifest), "--output-dir", str(tmp_path / "merged"), *store]) == 0
    facts = json.loads((site.at("merged").run_dir / "summary.json").read_bytes())["run"]
    assert facts["spent_usd"] == pytest.approx(billed, rel=1e-9)
    assert [(each["shard"], each["answered"] > 0) for each in facts["sessions"]] == [
        ("0/2", True),
        ("0/2", True),
        ("1/2", True),
    ]
    assert sum(each["answered"] for each in facts["sessions"]) == COUNT
