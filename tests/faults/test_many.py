"""A manifest of twenty experiments under `kill -9` and signals: every dialogue once, and a bill within the cap of all."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.live import KEY, live_run, provider, start
from tests.faults.runs import LOGS, Site, ended, kill, size, wait_until, whole_records
from tests.faults.test_live_money import billed_usd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.live import Provider

NAMES = [f"e{number:02}" for number in range(20)]
EACH = 12
KILLS = 5
CAP_USD = 0.02


def several(site: Site, **settings: Any) -> Site:
    """Twenty experiments, each with dialogues of its own; the server knows them all."""
    site.folder.mkdir(parents=True, exist_ok=True)
    every: list[str] = []
    for name in NAMES:
        lines = [
            json.dumps({"dialogue_id": f"{name}-{at}", "user": f"Hello {name}, {at}"}) + "\n" for at in range(EACH)
        ]
        (site.folder / f"{name}.jsonl").write_text("".join(lines))
        every += lines
    site.dataset.write_text("".join(every))
    defaults = {"model": "claude-haiku-4-5", "max_tokens": 64, "concurrency": 16, **settings}
    listed = [{"experiment_id": name, "dataset_path": f"{name}.jsonl"} for name in NAMES]
    site.manifest.write_text(json.dumps({"defaults": defaults, "experiments": listed}))
    return site


def kept(site: Site) -> Counter[str]:
    """How many answers each experiment keeps."""
    found: Counter[str] = Counter()
    for name in NAMES:
        folder = site.folder / site.runs / name
        lines = whole_records(folder / "journal.jsonl") or whole_records(folder / "responses.jsonl")
        found[name] = len({line["dialogue_id"] for line in lines if "dialogue_id" in line})
    return found


def answers(site: Site) -> list[str]:
    """The dialogues of all responses, as often as they have a line."""
    return [
        line["dialogue_id"]
        for name in NAMES
        for line in whole_records(site.folder / site.runs / name / "responses.jsonl")
    ]


def expected() -> list[str]:
    return [f"{name}-{at}" for name in NAMES for at in range(EACH)]


def reached(site: Site, count: int) -> bool:
    return kept(site).total() >= count


def called(paid: Provider, count: int) -> bool:
    return paid.calls >= count


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_same_command_resumes_all_after_every_kill(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    site = several(Site(folder=tmp_path, runs="killed"), mock={"latency_s": {"median_s": 0.02, "sigma": 1.0}})
    kills, before = 0, 0
    for _ in range(KILLS):
        run = site.start()
        more = before + moments.randint(10, 40)
        wait_until(run, partial(reached, site, more))
        if not kill(run):
            break
        kills += 1
        assert kept(site).total() >= before
        before = kept(site).total()

    assert site.run().code == 0
    assert kills >= 2
    assert answers(site) == expected()
    undisturbed = site.at("undisturbed")
    assert undisturbed.run_here().code == 0
    for name in NAMES:
        for log in (*LOGS, "summary.json"):
            assert (tmp_path / "killed" / name / log).read_bytes() == (
                tmp_path / "undisturbed" / name / log
            ).read_bytes()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_bill_stays_within_the_cap_of_all_over_kills_and_later_commands(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    site = several(Site(folder=tmp_path, mode="live", environ={"ANTHROPIC_API_KEY": KEY}))
    kills = 0
    with provider(site, latency_s=0.01, latency_sigma=1.0, faults={"half-body": 0.03, "500": 0.03}) as paid:
        for _ in range(KILLS):
            at = paid.calls + moments.randint(5, 25)
            run = start(site, "--max-cost", f"{CAP_USD}")
            wait_until(run, partial(called, paid, at))
            if not run.kill():
                break
            kills += 1
            assert billed_usd(paid) <= CAP_USD
        stopped = live_run(site, "--max-cost", f"{CAP_USD}")
        assert billed_usd(paid) <= CAP_USD
        selected = live_run(site, "--max-cost", f"{CAP_USD}", "--select", NAMES[-1])
        assert billed_usd(paid) <= CAP_USD
        last = live_run(site, "--max-cost", "5")

    assert kills >= 2
    assert stopped.code == selected.code == 4, stopped
    assert "for all experiments could be passed" in stopped.err
    assert last.code == 0, last
    assert answers(site) == expected()


@pytest.mark.slow
def test_shards_stay_together_within_the_cap_of_all(tmp_path: Path) -> None:
    """Each has half of it for its parts of all experiments. One is put together in between, and one asked by one process."""
    site = several(Site(folder=tmp_path, mode="live", environ={"ANTHROPIC_API_KEY": KEY}), concurrency=2, max_tokens=16)
    three = ["--select", "e0[0-2]"]
    with provider(site, latency_s=0.01) as paid:

        def shard(number: int, cap_usd: float) -> int | None:
            run = live_run(site, *three, "--shard", f"{number}/2", "--max-cost", f"{cap_usd:f}")
            assert billed_usd(paid) <= cap_usd
            return run.code

        cap = 0.0006
        assert [shard(0, cap), shard(1, cap)] == [4, 4]
        assert billed_usd(paid) > 0.4 * cap  # a call is few cents of what it may cost
        assert [shard(0, 1.0), shard(1, 1.0)] == [0, 0]
        merged = ended(site.start(command=merging(site, "--select", NAMES[0])))
        assert merged.code == 0, merged
        told = json.loads((site.folder / site.runs / NAMES[0] / "summary.json").read_text())["run"]
        assert sum(told["spent_by_shard_usd"]) == pytest.approx(told["spent_usd"] + told["maybe_billed_usd"])

        spent = billed_usd(paid)
        four = ["--select", "e0[0-3]"]
        for number in range(2):
            assert live_run(site, *four, "--shard", f"{number}/2", "--max-cost", f"{spent * 1.05:f}").code == 4
            assert billed_usd(paid) <= spent * 1.05


def merging(site: Site, *words: str) -> list[str]:
    where = ["--config", str(site.manifest), "--output-dir", str(site.folder / site.runs)]
    return [sys.executable, "-m", "profiler", "merge", "--quiet", *where, *words]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_lets_calls_end_and_lists_each_with_its_state(tmp_path: Path, signum: int, code: int) -> None:
    site = several(Site(folder=tmp_path), mock={"latency_s": 0.05})
    run = site.start("--json", "--concurrency", "16")
    assert wait_until(run, lambda: kept(site).total() >= EACH)
    run.send_signal(signum)
    stopped = ended(run)

    assert stopped.code == code, stopped
    told = stopped.json
    states = Counter(each["state"] for each in told["unfinished"])
    assert states["stopped"] >= 1
    assert states["not begun"] >= 1
    assert len(told["experiments"]) + states.total() == len(NAMES)
    assert {each["exit_code"] for each in told["unfinished"]} == {code}
    assert "go on with: profiler run" in stopped.err
    before = kept(site)
    again = site.run_here("--json")
    assert again.code == 0
    assert sum(each["kept"] for each in again.json["experiments"]) == before.total()
    assert answers(site) == expected()


def test_a_second_signal_does_not_wait_for_calls(tmp_path: Path) -> None:
    stalls = {f"{NAMES[0]}-{at}": 600.0 for at in range(EACH)}
    site = several(Site(folder=tmp_path), mock={"latency_s": {"median_s": 0.0, "stalls": stalls}})
    run = site.start("--json")
    assert wait_until(run, lambda: kept(site).total() == (len(NAMES) - 1) * EACH)
    run.send_signal(signal.SIGINT)
    assert run.stderr is not None
    while "Ctrl-C again ends them at once" not in run.stderr.readline():
        continue
    run.send_signal(signal.SIGINT)
    stopped = ended(run)

    assert stopped.code == 130
    assert [each["experiment_id"] for each in stopped.json["unfinished"]] == [NAMES[0]]
    assert len(stopped.json["experiments"]) == len(NAMES) - 1


def test_a_full_disk_for_one_folder_stops_that_one_alone(tmp_path: Path) -> None:
    site = several(Site(folder=tmp_path))
    (tmp_path / "runs" / NAMES[3]).mkdir(parents=True)
    (tmp_path / "runs" / NAMES[3] / "responses.jsonl").symlink_to("/dev/full")
    run = site.run_here("--json")

    assert [each["experiment_id"] for each in run.json["unfinished"]] == [NAMES[3]]
    assert len(run.json["experiments"]) == len(NAMES) - 1
    assert size(tmp_path / "runs" / NAMES[4] / "summary.json")
    assert "Traceback" not in run.err
