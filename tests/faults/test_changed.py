"""Resume is honest: another question is not the same run, and a finished run is never overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.runs import COMPLETE, Site, dialogues, kill, refused, wait_until, whole_records

SETTINGS: dict[str, Any] = {"concurrency": 4, "temperature": 0.0, "mock": {"latency_s": 0.02}}


def unfinished(folder: Path) -> Site:
    site = Site(folder=folder).write(dialogues(40), **SETTINGS)
    process = site.start()
    assert wait_until(process, lambda: len(site.answered()) >= 8)
    assert kill(process)
    return site


def finished(folder: Path) -> Site:
    site = Site(folder=folder).write(dialogues(4), **SETTINGS)
    assert site.run_here().code == 0
    return site


@pytest.mark.parametrize("begin", [unfinished, finished])
def test_a_changed_run_is_refused_with_everything_that_differs(tmp_path: Path, begin: Any) -> None:
    site = begin(tmp_path)
    before, calls = site.results(), site.calls()
    site.write(
        dialogues(41, tags=["new"]), **SETTINGS | {"temperature": 0.5, "model": "claude-opus-5", "system": "Be brief."}
    )

    run = site.run_here("--limit", "3")

    assert refused(run, "model: the run has 'claude-haiku-4-5', now it is 'claude-opus-5'", "--fresh")
    for name in ("temperature", "system", "dataset_sha256", "limit"):
        assert f"  {name}: " in run.err
    for name in ("max_tokens", "mode", "mock.seed"):
        assert f"  {name}: " not in run.err
    assert site.results() == before
    assert site.calls() == calls


@pytest.mark.parametrize("begin", [unfinished, finished])
def test_a_mock_run_is_not_continued_live(tmp_path: Path, begin: Any) -> None:
    site = begin(tmp_path)

    assert refused(site.run_here("--mode", "live"), "mode: the run has 'mock', now it is 'live'")


def test_what_does_not_change_the_questions_is_not_refused(tmp_path: Path) -> None:
    site = unfinished(tmp_path)
    site.write(dialogues(40), **SETTINGS | {"concurrency": 9, "timeout_s": 77})
    site.manifest.write_text("# a comment\n" + site.manifest.read_text())

    assert site.run_here("--concurrency", "3").code == 0
    assert len(whole_records(site.responses)) == 40


@pytest.mark.parametrize("begin", [unfinished, finished])
def test_fresh_moves_the_old_run_aside_whole(tmp_path: Path, begin: Any) -> None:
    site = begin(tmp_path)
    before = site.results()
    count = 4 if begin is finished else 40
    site.write(dialogues(count), **SETTINGS | {"temperature": 0.5})

    run = site.run_here("--fresh")

    assert run.code == 0
    (aside,) = [path for path in site.run_dir.parent.iterdir() if path != site.run_dir]
    assert f"moved the earlier run to {aside}" in run.err
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert set(site.results()) == COMPLETE
    assert json.loads(site.summary.read_bytes())["run"]["identity"]["temperature"] == 0.5


def test_two_fresh_starts_keep_both_old_runs(tmp_path: Path) -> None:
    site = finished(tmp_path)

    assert site.run_here("--fresh").code == 0
    assert site.run_here("--fresh").code == 0

    assert len(list(site.run_dir.parent.iterdir())) == 3


def test_logs_without_a_journal_are_not_overwritten(tmp_path: Path) -> None:
    site = finished(tmp_path)
    site.summary.unlink()
    before = site.results()

    assert refused(site.run_here(), "requests.jsonl", "--fresh")
    assert site.results() == before


def test_a_dataset_that_shrinks_during_the_run_does_not_pass_for_a_whole_one(tmp_path: Path) -> None:
    items = dialogues(3000, padding="x" * 300)
    items[1]["do"] = "shrink"
    site = Site(folder=tmp_path).write(items, client="Naughty", concurrency=1)

    assert refused(site.run_here(), str(site.dataset), "expected 3000: the file changed during the run")
    assert not site.summary.exists()
    assert site.journal.exists()


FAILING = [3, 4, 20]


def with_failures(count: int) -> list[dict[str, Any]]:
    items = dialogues(count)
    for number in FAILING:
        items[number]["do"] = "fail"
    return items


@pytest.mark.parametrize("fields", [None, ["completion", "dialogue_id", "type"]])
def test_retry_failed_asks_only_the_failed_ones_of_a_finished_run(tmp_path: Path, fields: list[str] | None) -> None:
    more = {"output_fields": fields} if fields else {}
    healthy = Site(folder=tmp_path).write(with_failures(30), client="Naughty", **more).at("h", FAULTS_HEALED="1")
    assert healthy.run_here().code == 0
    site = healthy.at("runs", FAULTS_HEALED="")
    assert site.run_here().code == 0
    assert [record["type"] for record in whole_records(site.responses)].count("error") == 3

    run = site.at("runs", FAULTS_HEALED="1").run_here("--retry-failed")

    assert run.code == 0
    assert sorted(site.calls()[30:]) == ["d20", "d3", "d4"]
    assert site.results() == healthy.results()


@pytest.mark.parametrize("fields", [None, ["completion", "dialogue_id", "type"]])
def test_retry_failed_works_on_an_unfinished_run(tmp_path: Path, fields: list[str] | None) -> None:
    items = with_failures(30)
    items[25]["do"] = "fatal"
    more = {"output_fields": fields} if fields else {}
    healthy = Site(folder=tmp_path).write(items, client="Naughty", concurrency=1, **more).at("h", FAULTS_HEALED="1")
    assert healthy.run_here().code == 0
    site = healthy.at("runs", FAULTS_HEALED="")
    assert site.run_here().code == 3

    run = site.at("runs", FAULTS_HEALED="1").run_here("--retry-failed")

    assert run.code == 0
    assert site.calls()[26:] == [f"d{number}" for number in (*FAILING, 25, 26, 27, 28, 29)]
    assert site.results() == healthy.results()


def test_retry_failed_without_failures_asks_nothing(tmp_path: Path) -> None:
    site = finished(tmp_path)
    before = site.results()

    assert site.run_here("--retry-failed").code == 0
    assert len(site.calls()) == 4
    assert site.results() == before


@pytest.mark.parametrize(
    "operation", ["open .journal.jsonl.tmp", "os.rename .journal.jsonl.tmp", "os.remove /summary.json"]
)
def test_a_kill_while_a_finished_run_is_reopened_loses_nothing(tmp_path: Path, operation: str) -> None:
    items = with_failures(30)
    site = Site(folder=tmp_path).write(items, client="Naughty")
    assert site.run_here().code == 0
    assert site.at("runs", FAULTS_DIE_BEFORE=operation).run("--retry-failed").code == -9

    run = site.at("runs", FAULTS_HEALED="1").run_here("--retry-failed")

    assert run.code == 0
    assert sorted(site.calls()[30:]) == ["d20", "d3", "d4"]
    assert set(site.results()) == COMPLETE
    assert {record["type"] for record in whole_records(site.responses)} == {"answer"}


def test_a_kill_while_a_finished_run_is_reopened_leaves_no_rest_in_a_finished_run(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(with_failures(30), client="Naughty")
    assert site.run_here().code == 0
    assert site.at("runs", FAULTS_DIE_BEFORE="os.rename .journal.jsonl.tmp").run("--retry-failed").code == -9

    assert site.run_here().code == 0
    assert set(site.results()) == COMPLETE
