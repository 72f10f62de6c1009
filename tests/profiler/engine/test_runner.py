"""A run from its first dialogue to its summary: the same bytes however it is run, and what may change in its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import (
    CallError,
    RunDirectoryError,
)
from profiler.core.nouns import Request
from profiler.engine import runner
from profiler.manifest.measured import Slo
from profiler.manifest.metrics import Contains, MetricEntry
from profiler.manifest.settings import USUAL_METRICS, Experiment, Latency, MockSettings, Retry
from profiler.storage.names import JOURNAL, SUMMARY
from profiler.storage.run_directory import RunDirectory
from tests.profiler.engine.running import COUNT, FILES, Counting, changed, files, interrupted_run, options, run_sync

if TYPE_CHECKING:
    from pathlib import Path


def test_a_finished_run_holds_its_four_files_and_its_numbers(experiment: Experiment, tmp_path: Path) -> None:
    result = run_sync(experiment, options=options(tmp_path / "runs", manifest_sha256="abc"))
    assert result.folder == tmp_path / "runs" / "exp"
    assert list(files(result.folder)) == FILES
    assert json.loads(files(result.folder)[SUMMARY]) == result.summary
    assert (result.answered_now, result.kept, result.missed) == (COUNT, 0, [])
    assert result.elapsed_s > 0
    facts = result.summary["run"]
    assert (facts["mode"], facts["dialogues"], facts["manifest_sha256"]) == ("mock", COUNT, "abc")
    assert (facts["started"], facts["finished"]) == (None, None)
    for name in FILES[:2]:
        indexes = [json.loads(line)["index"] for line in files(result.folder)[name].splitlines()]
        assert indexes == list(range(COUNT))


@pytest.mark.parametrize(
    "how",
    [
        {"concurrency": 1},
        {"concurrency": 100},
        {"fsync": "always"},
        {"fsync": "off"},
    ],
)
def test_how_it_is_run_changes_no_byte(experiment: Experiment, tmp_path: Path, how: dict[str, Any]) -> None:
    slow = changed(experiment, mock=MockSettings(latency_s=Latency(median_s=0.001, sigma=1.0)))
    plain = run_sync(slow, options=options(tmp_path / "a"))
    other = run_sync(slow, options=options(tmp_path / "b", **how))
    assert files(plain.folder) == files(other.folder)


@pytest.mark.parametrize("after", [0, 1, 7, COUNT - 1])
def test_a_run_that_was_stopped_is_resumed_to_the_same_bytes(
    experiment: Experiment, tmp_path: Path, after: int
) -> None:
    notes: list[str] = []
    whole = run_sync(experiment, options=options(tmp_path / "whole"))
    first = interrupted_run(experiment, tmp_path / "runs", after=after)
    client = Counting()
    result = run_sync(experiment, options=options(tmp_path / "runs"), client=client, note=notes.append)
    assert files(result.folder) == files(whole.folder)
    assert result.kept == after
    assert result.answered_now == len(client.asked) == COUNT - after
    assert set(client.asked).isdisjoint(first.asked[:after])
    assert notes[0].startswith(f"resuming: {after} of {COUNT} answers are kept")


def test_a_finished_run_is_not_asked_again(experiment: Experiment, tmp_path: Path) -> None:
    first = run_sync(experiment, options=options(tmp_path))
    before = files(first.folder)
    client = Counting()
    again = run_sync(experiment, options=options(tmp_path), client=client)
    assert (client.asked, again.answered_now, again.kept) == ([], 0, COUNT)
    assert again.summary == first.summary
    assert files(first.folder) == before


def test_the_summary_keeps_which_way_own_metrics_are_better(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import profiler\nlong = profiler.rate('long', lambda o: True, better='lower')\n")
    own = changed(experiment, metrics=["completion_rate", "mine:long"])

    found = run_sync(own, options=options(tmp_path, search_path=tmp_path))

    assert found.summary["run"]["better"] == {"long": "lower"}
    again = run_sync(experiment, options=options(tmp_path)).summary["run"]
    assert "better" not in again


def test_other_metrics_are_counted_from_the_answers_that_are_there(experiment: Experiment, tmp_path: Path) -> None:
    run_sync(changed(experiment, metrics=("refusal_rate",)), options=options(tmp_path))
    client, notes = Counting(), list[str]()
    again = run_sync(experiment, options=options(tmp_path), client=client, note=notes.append)
    assert client.asked == []
    assert list(again.summary["metrics"]) == list(USUAL_METRICS) == again.summary["run"]["metrics"]
    assert json.loads(files(again.folder)[SUMMARY]) == again.summary
    assert notes == ["the manifest names other metrics: counted again from the logs"]
    assert files(again.folder) == files(run_sync(experiment, options=options(tmp_path / "other")).folder)


def test_metrics_with_lists_in_their_options_are_not_counted_again_by_the_same_command(
    experiment: Experiment, tmp_path: Path
) -> None:
    within = MetricEntry(contains=Contains(any=("a", "e"), normalize=("case",)))
    measured = changed(experiment, metrics=("completion_rate", within), repeats=2, pass_at=(1, 2))
    once = files(run_sync(measured, options=options(tmp_path)).folder)
    notes: list[str] = []

    assert files(run_sync(measured, options=options(tmp_path), note=notes.append).folder) == once
    assert notes == []


def test_a_run_that_is_counted_again_has_the_bytes_of_a_new_one(experiment: Experiment, tmp_path: Path) -> None:
    wanted = changed(experiment, repeats=2, pass_at=(1, 2))
    for name, before in (("other", changed(wanted, metrics=("refusal_rate",))), ("none", changed(wanted, pass_at=()))):
        run_sync(before, options=options(tmp_path / name))
        again = run_sync(wanted, options=options(tmp_path / name))
        assert files(again.folder) == files(run_sync(wanted, options=options(tmp_path / "new")).folder)


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("fields", "how", "difference"),
    [
        ({"model": "other"}, {}, "model: the run has 'm', now it is 'other'"),
        ({"mock": MockSettings(seed=5)}, {}, "mock.seed: the run has 0, now it is 5"),
        ({"output_fields": ("dialogue_id", "type")}, {}, "output_fields: the run has none"),
        ({}, {"limit": 7}, "limit: the run has none, now it is 7"),
        ({}, {"mode": "live"}, "mode: the run has 'mock', now it is 'live'"),
    ],
)
def test_another_run_is_refused_in_the_same_place(
    experiment: Experiment, tmp_path: Path, fields: Any, how: Any, difference: str, *, finished: bool
) -> None:
    if finished:
        run_sync(experiment, options=options(tmp_path))
    else:
        interrupted_run(experiment, tmp_path, after=3)
    before = files(tmp_path / "exp")
    with pytest.raises(RunDirectoryError) as caught:
        run_sync(changed(experiment, **fields), options=options(tmp_path, **how), client=Counting())
    assert difference in str(caught.value)
    assert files(tmp_path / "exp") == before


def test_another_dataset_is_refused_in_the_same_place(experiment: Experiment, tmp_path: Path) -> None:
    run_sync(experiment, options=options(tmp_path))
    with experiment.dataset_path.open("a") as file:
        file.write('{"dialogue_id":"new","user":"q"}\n')
    with pytest.raises(RunDirectoryError, match="dataset_sha256: the run has"):
        run_sync(experiment, options=options(tmp_path))


def test_what_does_not_change_the_answers_may_change(experiment: Experiment, tmp_path: Path) -> None:
    interrupted_run(experiment, tmp_path, after=3)
    other = changed(experiment, concurrency=9, timeout_s=1.0, retry=Retry(max_attempts=2), thresholds={"n": 0.1})
    assert run_sync(other, options=options(tmp_path)).kept == 3


def test_starting_over_moves_the_old_run_aside(experiment: Experiment, tmp_path: Path) -> None:
    run_sync(experiment, options=options(tmp_path))
    before = files(tmp_path / "exp")
    notes: list[str] = []
    result = run_sync(
        changed(experiment, model="other"), options=options(tmp_path, fresh=True), client=Counting(), note=notes.append
    )
    (aside,) = tmp_path.glob("exp.old-*")
    assert files(aside) == before
    assert notes == [f"moved the earlier run to {aside}"]
    assert result.answered_now == COUNT
    assert run_sync(experiment, options=options(tmp_path / "empty", fresh=True)).answered_now == COUNT


def test_a_limit_asks_the_first_dialogues_only(experiment: Experiment, tmp_path: Path) -> None:
    client = Counting()
    result = run_sync(experiment, options=options(tmp_path, limit=5), client=client)
    assert client.asked == [f"d{index}" for index in range(5)]
    assert result.summary["counts"]["total"] == result.summary["run"]["dialogues"] == 5


def test_failed_dialogues_are_records_and_are_asked_again_when_told(experiment: Experiment, tmp_path: Path) -> None:
    def refuse(request: Request) -> None:
        if request.index % 10 == 3:
            raise CallError("invalid_request", "no", status=400)

    whole = run_sync(experiment, options=options(tmp_path / "whole"))
    first = run_sync(experiment, options=options(tmp_path), client=Counting(first=refuse))
    assert first.summary["counts"]["errors"] == {"invalid_request": 3}
    assert run_sync(experiment, options=options(tmp_path), client=(same := Counting())).summary == first.summary
    assert same.asked == []

    client = Counting()
    again = run_sync(experiment, options=options(tmp_path, retry_failed=True), client=client)
    assert client.asked == ["d3", "d13", "d23"]
    assert files(again.folder) == files(whole.folder)
    nothing = run_sync(experiment, options=options(tmp_path, retry_failed=True), client=(none := Counting()))
    assert (none.asked, nothing.answered_now) == ([], 0)


class Killed(BaseException):
    """Not a KeyboardInterrupt: the event loop would pass that on past its task, and complain of the task's exception
    whenever the task is collected, even in the middle of another test."""


def test_a_kill_between_the_summary_and_the_end_is_resumed(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "_let_go", killed)
        with pytest.raises(Killed):
            run_sync(experiment, options=options(tmp_path))
    assert {JOURNAL, *FILES} <= set(files(tmp_path / "exp"))
    client = Counting()
    result = run_sync(experiment, options=options(tmp_path), client=client)
    assert (client.asked, result.kept) == ([], COUNT)
    assert list(files(result.folder)) == FILES


def test_thresholds_are_told_also_of_a_run_that_was_complete(experiment: Experiment, tmp_path: Path) -> None:
    strict = changed(experiment, thresholds={"completion_rate": 1.0, "fact_coverage": 1.1})
    for _ in range(2):
        (missed,) = run_sync(strict, options=options(tmp_path)).missed
        assert missed.startswith("fact_coverage is ")


def test_what_only_streams_can_tell_has_no_value_in_mock_mode_and_that_is_said(
    experiment: Experiment, tmp_path: Path
) -> None:
    notes: list[str] = []
    asked = changed(experiment, slo=Slo(ttft_s=0.8))
    found = runner.run_sync(asked, options=options(tmp_path), note=notes.append).summary

    assert [note for note in notes if note.endswith("no value for ttft_s: the mock does not stream")]
    assert (found["goodput"], found["metrics"]["goodput"]["n"]) == (None, 0)
