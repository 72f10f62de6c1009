"""The bill of a server that counts: a pilot, the full run, other metrics and a second model, and nothing is paid twice."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.live import live_run, live_site, provider
from tests.faults.runs import dialogues, ended, refused, whole_records
from tests.faults.test_live_money import billed_usd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.live import Provider
    from tests.faults.runs import Site


def calls_of(paid: Provider) -> int:
    return sum(paid.asked().values())


def summary_of(site: Site, *words: str) -> dict[str, Any]:
    run = live_run(site, "--json", "--quiet", *words)
    assert run.code == 0, run
    found: dict[str, Any] = run.json["experiments"][0]["summary"]
    return found


@pytest.mark.parametrize(
    ("pilot", "full"), [(10, 60), pytest.param(200, 2000, marks=pytest.mark.long)], ids=["small", "as told"]
)
def test_a_pilot_the_full_run_with_repeats_other_metrics_and_a_second_model_are_paid_once(
    tmp_path: Path, pilot: int, full: int
) -> None:
    site = live_site(tmp_path, dialogues(full))
    with provider(site) as paid:
        first = summary_of(site, "--sample", f"{pilot}")
        assert calls_of(paid) == pilot

        site.write(dialogues(full), client=None, repeats=3)
        run = live_run(site)
        assert refused(run, "selection", "repeats", "begin anew and pay only for what is new")
        words = shlex.split(run.err.partition("pay only for what is new: ")[2].splitlines()[0])[-3:]
        assert words == ["--fresh", "--reuse", str(site.run_dir)]
        estimate = live_run(site, "--dry-run", "--json", *words).json["dry_run"][0]
        assert (estimate["reused"], estimate["requests"]) == (pilot, 3 * full - pilot)
        assert calls_of(paid) == pilot

        second = summary_of(site, *words)
        assert calls_of(paid) == 3 * full
        assert second["reused"] == {"n": pilot, "cost_usd": pytest.approx(first["cost_usd"])}
        assert {each.get("repeat") for each in whole_records(site.responses) if "reused_from" in each} == {0}

        site.write(dialogues(full), client=None, repeats=3, metrics=["completion_rate"])
        assert list(summary_of(site)["metrics"]) == ["completion_rate"]
        assert calls_of(paid) == 3 * full
        assert first["cost_usd"] + second["cost_usd"] == pytest.approx(billed_usd(paid))

        site.write(dialogues(full), client=None, repeats=3, model="claude-sonnet-4-5", experiment_id="second")
        third = summary_of(site, "--reuse", str(site.run_dir.parent))
        assert calls_of(paid) == 6 * full
        assert "reused" not in third


def test_answers_that_are_taken_over_need_no_room_under_the_cap(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(40), concurrency=1)
    with provider(site) as paid:
        pilot = summary_of(site, "--limit", "30")
        cap = pilot["cost_usd"]
        found = summary_of(site, "--fresh", "--reuse", str(site.run_dir), "--max-cost", f"{cap:.6f}")
        assert found["run"]["spent_usd"] < cap
        assert pilot["cost_usd"] + found["cost_usd"] == pytest.approx(billed_usd(paid))
        assert calls_of(paid) == 40


def test_several_processes_and_shards_pay_a_pilot_once(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(40))
    with provider(site) as paid:
        pilot = summary_of(site, "--sample", "30")
        found = summary_of(site, "--fresh", "--reuse", str(site.run_dir), "--processes", "2")
        assert calls_of(paid) == 40
        assert found["reused"] == {"n": 30, "cost_usd": pytest.approx(pilot["cost_usd"])}
        assert pilot["cost_usd"] + found["cost_usd"] == pytest.approx(billed_usd(paid))

        shards = ["--output-dir", str(tmp_path / "shards")]
        for number in "01":
            assert live_run(site, *shards, "--reuse", str(site.run_dir), "--shard", f"{number}/2").code == 0
        merge = [sys.executable, "-m", "profiler", "merge", "--config", str(site.manifest), *shards, "--quiet"]
        assert ended(site.start(command=merge)).code == 0
        assert calls_of(paid) == 40


def test_the_answers_of_another_address_are_asked_again(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(5))
    with provider(site):
        summary_of(site, "--limit", "3")
    del site.environ["ANTHROPIC_BASE_URL"]
    with provider(site) as paid:
        run = live_run(site, "--fresh", "--reuse", str(site.run_dir))
        assert run.code == 0
        assert calls_of(paid) == 5
        assert "--reuse: none of these runs was answered by" in run.err


def test_a_run_that_is_nowhere_is_an_error_before_anything_is_asked(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(2))
    with provider(site) as paid:
        assert refused(live_run(site, "--reuse", str(tmp_path / "nowhere")), "--reuse", "nowhere", "found no run in it")
        assert calls_of(paid) == 0
