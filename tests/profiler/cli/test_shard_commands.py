"""What the commands of a job array print, and with which code they end."""

from __future__ import annotations

import json
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import main, run_shared
from profiler.core.errors import BudgetReached, ProviderFailed
from profiler.fleet.preparing import prepare
from profiler.fleet.shards.shard import run_shard
from tests.profiler.fleet.inline import inline
from tests.profiler.fleet.sites import dataset

MANIFEST = """
defaults: {model: claude-haiku-4-5, max_tokens: 16, dataset_path: dialogues.jsonl, log_schema_version: 1}
experiments: [{experiment_id: one}, {experiment_id: two, max_tokens: 32}]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr(run_shared, "run_shard", partial(run_shard, on=inline))
    monkeypatch.chdir(tmp_path)
    dataset(tmp_path, 40)
    path = tmp_path / "manifest.yaml"
    path.write_text(MANIFEST)
    return path


def shard(config: Path, which: str, *words: str) -> int:
    return main.main(["run", "--config", str(config), "--mode", "mock", "--shard", which, *words])


def merge(config: Path, *words: str) -> int:
    return main.main(["merge", "--config", str(config), "--quiet", *words])


def test_a_job_array_that_is_started_again_at_any_time_does_not_fail(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [shard(config, f"{number}/2") for number in (0, 1, 1)] == [0, 0, 0]
    assert capsys.readouterr().err.count("already complete, nothing was asked") == 2
    assert merge(config, "--select", "one") == 0
    assert shard(config, "0/2") == 0  # one of the two is put together
    assert [merge(config), merge(config), shard(config, "1/2")] == [0, 0, 0]
    out = capsys.readouterr().out
    assert out.count("Completed shard") == 4
    assert out.count("Completed experiment two") == 2


def test_merge_says_what_it_put_together_and_no_pace_at_which_nothing_was_asked(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(config, "0/1") == 0
    said = []
    for words in (["--select", "one"], ["--select", "one"], []):
        capsys.readouterr()
        assert main.main(["merge", "--config", str(config), *words]) == 0
        said.append(capsys.readouterr().err)

    assert "one: put together\n" in said[0]
    assert "one: already complete\n" in said[1]
    assert "experiments put together: 1 of 2, the others were complete before\n" in said[2]
    assert all("/s)" not in each for each in said)


def test_what_failed_in_shards_is_asked_again_by_the_command_that_merge_names(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("obstore", reason="the extra object-store is not installed")
    config.write_text(MANIFEST.replace("defaults: {", "defaults: {mock: {faults: {invalid_request: 1.0}}, "))
    assert shard(config, "0/1") == 0
    assert merge(config, "--select", "one") == 0
    assert merge(config, "--select", "one", "--store", (config.parent / "store").as_uri()) == 0
    told = capsys.readouterr().err.splitlines()[-1]
    _, *words = shlex.split(told.partition("ask them again: ")[2])
    assert main.main([word for word in words if word != "--quiet"]) == 0
    assert "one: 40 dialogues in " in capsys.readouterr().err


def test_what_is_wrong_with_one_experiment_keeps_no_shard_from_the_others(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(config, "0/3", "--select", "one") == 0
    assert [shard(config, f"{number}/4") for number in range(4)] == [2, 2, 2, 2]
    said = capsys.readouterr().err
    assert (
        "one: runs/one: was begun as 3 shards, and --shard 1/4 would divide it into 4 (go on with --shard K/3" in said
    )
    assert "shard 1/4 of 1 of 2 experiments could not be answered" in said
    assert merge(config, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert [Path(each["log_dir"]).name for each in found["experiments"]] == ["two"]
    assert "owed by shards 1-2 of 3" in found["unfinished"][0]["error"]


def of_its_own(error: BudgetReached) -> BudgetReached:
    error.of_all = False
    return error


@pytest.mark.parametrize(
    ("error", "own", "code", "answered"),
    [
        (ProviderFailed("it is down"), "model: claude-sonnet-4-5", 3, True),
        (ProviderFailed("it is down"), "temperature: 0.5", 3, False),
        (of_its_own(BudgetReached("its own cap")), "max_cost_usd: 0.5", 4, True),
        (BudgetReached("the cap"), "temperature: 0.5", 4, False),
    ],
)
def test_what_stops_one_experiment_of_a_shard_stops_those_that_it_would_stop_too(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, own: str, code: int, *, answered: bool
) -> None:
    async def stopped(experiment: Any, **words: Any) -> Any:
        if experiment.experiment_id == "one":
            raise error
        return await run_shard(experiment, on=inline, **words)

    monkeypatch.setattr(run_shared, "run_shard", stopped)
    config.write_text(MANIFEST.replace("{experiment_id: one}", f"{{experiment_id: one, {own}}}"))
    assert shard(config, "0/1") == code
    assert Path("runs/two").exists() == answered


@pytest.mark.parametrize("which", ["0/0", "3/3", "-1/2", "1", "1/", "/2", "a/b", "1/2/3", "0.5/2"])
def test_a_share_that_is_none_is_refused(config: Path, capsys: pytest.CaptureFixture[str], which: str) -> None:
    with pytest.raises(SystemExit) as ended:
        shard(config, which)
    assert ended.value.code == 2
    assert "expected K/N such as 0/8" in capsys.readouterr().err or which.startswith("-")


def test_a_tag_and_a_limit_are_those_of_the_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("--tag", "t1", "--limit", "5")
    assert [shard(config, f"{number}/2", *wanted) for number in (0, 1)] == [0, 0]
    assert shard(config, "1/2", "--tag", "t2", "--limit", "5") == 2
    assert "selection.tags" in capsys.readouterr().err
    assert shard(config, "1/2", "--fresh") == 2
    assert "move the folder aside before the first shard begins" in capsys.readouterr().err
    assert merge(config) == 0
    assert shard(config, "1/2", *wanted) == 0


def test_shards_meet_in_a_store_and_merge_takes_the_run_from_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("obstore", reason="the extra object-store is not installed")
    store = (config.parent / "store").as_uri()
    for number in range(2):
        assert shard(config, f"{number}/2", "--store", store, "--output-dir", f"machine{number}") == 0
    assert f"profiler merge --config {config} --store {store}" in capsys.readouterr().err
    assert merge(config, "--store", store) == 0
    assert capsys.readouterr().out.count("Completed experiment") == 2
    assert main.main(["run", "--config", str(config), "--mode", "mock", "--store", store]) == 2
    assert "--store needs --shard" in capsys.readouterr().err
    assert merge(config, "--store", "nowhere", "--output-dir", "other") == 2
    assert "expected a URL such as s3://bucket/path" in capsys.readouterr().err


def test_leases_are_asked_for_by_a_variable_that_a_manifest_does_not_refuse(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROFILER_LOCKS", "leases")
    assert [shard(config, f"{number}/2", "--select", "one") for number in (0, 1)] == [0, 0]
    assert sorted(path.name for path in Path("runs/one/fleet/claims").iterdir()) == [
        "shard-0.lease.1",
        "shard-1.lease.1",
    ]
    assert merge(config, "--select", "one") == 0


def test_what_nobody_understands_as_locks_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROFILER_LOCKS", "lease")
    assert shard(config, "0/2", "--select", "one") == 2
    assert "PROFILER_LOCKS: found 'lease', expected leases or locks" in capsys.readouterr().err


def test_where_the_folder_holds_another_run_neither_shards_nor_merge_are_told_to_move_it_aside(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(config, "0/2", "--select", "one") == 0
    config.write_text(MANIFEST.replace("max_tokens: 16", "max_tokens: 17"))
    capsys.readouterr()
    assert shard(config, "1/2", "--select", "one") == 2
    assert merge(config, "--select", "one") == 2
    said = capsys.readouterr().err
    assert "choose another --output-dir for all shards and merge; there --reuse runs/one takes over" in said
    assert "--fresh" not in said
    assert shard(config, "1/2", "--select", "one", "--output-dir", "others", "--reuse", "runs/one") == 0
