"""A shard that a cap stops: what it says leads on, and what is answered and paid is told as it is."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from profiler.cli import run_shared
from profiler.fleet.preparing import prepare
from profiler.fleet.shards.shard import run_shard
from tests.faults.live import KEY, live_run, live_site, provider
from tests.faults.runs import Site, dialogues
from tests.faults.test_live_money import billed_usd, told_cap
from tests.faults.test_many import merging
from tests.profiler.fleet.inline import inline

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.live import Provider

ITEMS, SHARDS = 60, 2


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr(run_shared, "run_shard", partial(run_shard, on=inline))


def answered(paid: Provider) -> int:
    return sum(each > 0 for each in paid.asked().values())


@pytest.mark.parametrize("cap_usd", [0.0008, 0.00001])
def test_the_command_that_it_names_leads_to_the_end(tmp_path: Path, cap_usd: float) -> None:
    """The smaller cap has no room for a single call in each share."""
    site = live_site(tmp_path, dialogues(ITEMS), concurrency=4, max_tokens=16)
    caps = [f"{cap_usd:f}"]
    with provider(site) as paid:
        left = {*range(SHARDS)}
        while left:
            for number in sorted(left):
                run = live_run(site, "--shard", f"{number}/{SHARDS}", "--max-cost", caps[-1])
                assert billed_usd(paid) <= max(map(float, caps))
                if run.code == 0:
                    left.remove(number)
                    continue
                assert run.code == 4, run
                assert f"--shard {number}/{SHARDS}" in run.err
                caps.append(told_cap(run)[1])
                assert float(caps[-1]) > float(caps[-2])
            assert len(caps) < 6, caps
        assert len(caps) > 1
        merged = site.run_here(command=merging(site))
    assert merged.code == 0, merged


def test_merge_tells_what_is_answered_and_paid_though_its_range_is_not_finished(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(ITEMS), concurrency=4, max_tokens=16)
    with provider(site) as paid:
        for number in range(SHARDS):
            assert live_run(site, "--shard", f"{number}/{SHARDS}", "--max-cost", "0.0008").code == 4
        merged = site.run_here(command=merging(site))
        assert merged.code == 2, merged
        there, billed = answered(paid), billed_usd(paid)
    assert 0 < there < ITEMS
    assert f"{ITEMS - there} of {ITEMS} items are not answered yet" in merged.err
    told = re.search(rf"{there} answers are kept for \$([\d.]+), and \$0\.00 may have been billed", merged.err)
    assert told is not None
    assert float(told[1]) == pytest.approx(billed, abs=0.00005)
    assert "stopped needs a larger one" in merged.err


def test_the_smaller_of_the_cap_of_the_manifest_and_that_of_the_command_decides(tmp_path: Path) -> None:
    own = 0.0008
    site = live_site(tmp_path, dialogues(ITEMS), concurrency=4, max_tokens=16, max_cost_usd=own)
    with provider(site) as paid:
        run = live_run(site, "--shard", "0/1", "--max-cost", "5")
        assert billed_usd(paid) <= own
        assert run.code == 4, run
        assert "raise max_cost_usd of trial in the manifest, to 0.00" in run.err
        assert "--max-cost 5\n" in run.err


def test_its_own_cap_stops_one_experiment_and_no_other_that_the_cap_of_all_has_money_for(tmp_path: Path) -> None:
    site = Site(folder=tmp_path, mode="live", environ={"ANTHROPIC_API_KEY": KEY}).write(dialogues(ITEMS), client=None)
    usual = {"model": "claude-haiku-4-5", "max_tokens": 16, "dataset_path": site.dataset.name, "concurrency": 4}
    listed = [{"experiment_id": "poor", "max_cost_usd": 0.0008}, {"experiment_id": "rich"}]
    site.manifest.write_text(json.dumps({"defaults": usual, "experiments": listed}))
    with provider(site) as paid:
        run = live_run(site, "--shard", "0/1", "--max-cost", "5")
        assert run.code == 4, run
        assert "raise max_cost_usd of poor in the manifest" in run.err
        assert "Completed shard 0/1 of rich" in run.out
        assert billed_usd(paid) < 5
