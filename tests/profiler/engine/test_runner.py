from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest

from profiler.core.errors import (
    CallError,
    DatasetError,
    Interrupted,
    ManifestError,
    ProfilerError,
    ProviderFailed,
    RunDirectoryError,
    StorageError,
    UsageError,
)
from profiler.core.nouns import Reply, Request
from profiler.engine import runner, session
from profiler.engine.calls import pool
from profiler.engine.options import Options
from profiler.engine.result import Result
from profiler.engine.runner import run
from profiler.manifest.measured import Slo
from profiler.manifest.settings import USUAL_METRICS, Experiment, Latency, MockSettings, Retry
from profiler.provider.mock import MockClient
from profiler.storage.folder_lock import locked
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES, SCORES, SUMMARY
from profiler.storage.run_directory import RunDirectory
from tests.profiler.building import files_end_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.engine.progress import Overview
    from profiler.provider.client import Client

COUNT = 30
FILES = [REQUESTS, RESPONSES, SCORES, SUMMARY]


class Counting:
    """The mock, and which dialogues it was asked; may do something else first."""

    def __init__(self, settings: MockSettings | None = None, *, first: Callable[[Request], Any] | None = None) -> None:
        self.mock = MockClient(settings or MockSettings())
        self.first = first
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request.dialogue.dialogue_id)
        if self.first is not None:
            waiting = self.first(request)
            if waiting is not None:
                await waiting
        return await self.mock.complete(request)


def run_sync(experiment: Experiment, *, options: Options, client: Client | None = None, **others: Any) -> Result:
    """By the same client throughout: who answers is part of what a run is."""
    own = Counting(experiment.mock) if client is None and experiment.client is None else client
    return runner.run_sync(experiment, options=options, client=own, **others)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    path = tmp_path / "dialogues.jsonl"
    lines = [
        {
            "dialogue_id": f"d{index}",
            "user": f"question {index}",
            "required_facts": ["fact"],
            "tags": ["even"][index % 2 :],
        }
        for index in range(COUNT)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return Experiment(experiment_id="exp", model="m", max_tokens=64, dataset_path=path, concurrency=4)


def changed(experiment: Experiment, **fields: Any) -> Experiment:
    return msgspec.structs.replace(experiment, **fields)


def options(folder: Path, **fields: Any) -> Options:
    return Options(output_dir=folder, **fields)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def interrupted_run(experiment: Experiment, folder: Path, *, after: int, **fields: Any) -> Counting:
    """A run whose provider gives up after so many answers."""

    def give_up(request: Request) -> None:
        if len(client.asked) > after:
            raise CallError("authentication", "no more", fatal=True)

    client = Counting(first=give_up)
    with pytest.raises(ProviderFailed):
        run_sync(experiment, options=options(folder, **fields), client=client)
    return client


def rewriting(path: Path, content: bytes) -> Counting:
    """Whatever is asked in the middle of the run, the dataset is written anew before it is answered."""

    def write(request: Request) -> None:
        if request.index == COUNT // 2:
            path.write_bytes(content)

    return Counting(first=write)


def test_a_dataset_that_changes_during_the_run_does_not_pass_for_the_one_that_was_checked(
    experiment: Experiment, tmp_path: Path
) -> None:
    path, asked = experiment.dataset_path, options(tmp_path / "runs")
    before = path.read_bytes()
    other = before.replace(b"question 1", b"question 2")

    with pytest.raises(DatasetError, match="the file changed during the run"):
        run_sync(experiment, options=asked, client=rewriting(path, other))
    assert not (tmp_path / "runs/exp/summary.json").exists()
    with pytest.raises(RunDirectoryError, match="dataset_sha256"):
        run_sync(experiment, options=asked)
    path.write_bytes(before)

    assert run_sync(experiment, options=asked).answered_now == 0


def test_a_run_that_stops_tells_of_a_dataset_that_changed(experiment: Experiment, tmp_path: Path) -> None:
    path, told = experiment.dataset_path, list[str]()

    def spoil(request: Request) -> None:
        if request.index == COUNT // 2:
            path.write_bytes(path.read_bytes().replace(b"question 1", b"question 2"))
            raise CallError("authentication", "no more", fatal=True)

    with pytest.raises(ProviderFailed):
        run_sync(experiment, options=options(tmp_path / "runs"), client=Counting(first=spoil), note=told.append)

    assert ["the file changed during the run" in line for line in told].count(True) == 1


def test_a_dataset_that_was_changed_during_the_run_and_put_back_is_noticed_by_what_was_asked(
    experiment: Experiment, tmp_path: Path
) -> None:
    path, asked = experiment.dataset_path, options(tmp_path / "runs")
    rows = [{"dialogue_id": f"d{number}", "user": f"old {number} " + "x" * 300_000} for number in range(COUNT)]
    before = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    path.write_bytes(before)

    def change_and_stop(request: Request) -> None:
        if request.index == 1:
            path.write_bytes(before.replace(b"old", b"new"))
        if request.index == COUNT - 1:
            raise CallError("authentication", "no more", fatal=True)

    with pytest.raises(ProviderFailed):
        run_sync(experiment, options=asked, client=Counting(first=change_and_stop))
    path.write_bytes(before)

    with pytest.raises(RunDirectoryError, match="was asked in other words than the dataset has now"):
        run_sync(experiment, options=asked)


def test_a_dataset_that_is_only_touched_during_the_run_is_the_same(experiment: Experiment, tmp_path: Path) -> None:
    path = experiment.dataset_path

    result = run_sync(experiment, options=options(tmp_path / "runs"), client=rewriting(path, path.read_bytes()))

    assert result.answered_now == COUNT


def removed(path: Path) -> None:
    path.unlink(missing_ok=True)


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text('{"dialogue_id": "other", "user": "x"}\n', encoding="utf-8")
    other.replace(path)


@pytest.mark.parametrize("how", [removed, replaced])
def test_a_dataset_that_makes_room_for_another_during_the_run_was_read_as_it_was(
    experiment: Experiment, tmp_path: Path, how: Callable[[Path], None]
) -> None:
    client = Counting(first=lambda _: how(experiment.dataset_path))

    assert run_sync(experiment, options=options(tmp_path / "runs"), client=client).answered_now == COUNT


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


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("fields", "how", "difference"),
    [
        ({"model": "other"}, {}, "model: the run has 'm', now it is 'other'"),
        ({"mock": MockSettings(seed=5)}, {}, "mock.seed: the run has 0, now it is 5"),
        ({"output_fields": ("dialogue_id", "type")}, {}, "output_fields: the run has None"),
        ({}, {"limit": 7}, "limit: the run has None, now it is 7"),
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


def test_a_kill_between_the_summary_and_the_end_is_resumed(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "_let_go", killed)
        with pytest.raises(KeyboardInterrupt):
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


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_dataset_with_faults_costs_nothing(experiment: Experiment, tmp_path: Path) -> None:
    experiment.dataset_path.write_text('{"dialogue_id":"a","user":"q"}\n{"dialogue_id":"a","user":"q"}\n')
    client = Counting()
    with pytest.raises(DatasetError, match="was already used at line 1"):
        run_sync(experiment, options=options(tmp_path), client=client)
    assert client.asked == []
    assert files(tmp_path / "exp") == {}


def test_missing_prepared_answers_cost_nothing(experiment: Experiment, tmp_path: Path) -> None:
    bad = changed(experiment, mock=MockSettings(responses_path=tmp_path / "missing.json"))
    with pytest.raises(ProfilerError, match=r"missing.json"):
        runner.run_sync(bad, options=options(tmp_path))
    (tmp_path / "wrong.json").write_text("[]")
    with pytest.raises(ManifestError, match=r"wrong.json"):
        runner.run_sync(
            changed(bad, mock=MockSettings(responses_path=tmp_path / "wrong.json")), options=options(tmp_path)
        )
    assert files(tmp_path / "exp") == {}


def test_a_fault_of_a_client_is_the_error_of_its_dialogue_and_the_run_is_finished(
    experiment: Experiment, tmp_path: Path
) -> None:
    def buggy(request: Request) -> None:
        if request.index == 20:
            raise ZeroDivisionError("a bug")

    notes: list[str] = []
    result = run_sync(experiment, options=options(tmp_path), client=Counting(first=buggy), note=notes.append)
    assert result.summary["counts"]["errors"] == {"client_fault": 1}
    (told,) = notes
    assert re.search(r"the client failed: ZeroDivisionError: a bug \(test_runner\.py:\d+\)", told)


def test_a_client_that_fails_at_all_of_its_first_calls_stops_the_run(experiment: Experiment, tmp_path: Path) -> None:
    def buggy(_: Request) -> None:
        raise ZeroDivisionError("a bug")

    client = Counting(first=buggy)
    with pytest.raises(ProviderFailed, match=r"all of the first 5 calls failed so: .*ZeroDivisionError: a bug"):
        run_sync(experiment, options=options(tmp_path, concurrency=1), client=client)
    assert len(client.asked) == 5


@pytest.mark.parametrize("bug_first", [False, True])
def test_of_several_errors_the_bug_comes_out(tmp_path: Path, *, bug_first: bool) -> None:
    bug, full = ZeroDivisionError("a bug"), StorageError(tmp_path, OSError(28, "No space left on device"))
    inner = ExceptionGroup("inner", [bug] if bug_first else [full])
    with pytest.raises(ZeroDivisionError, match="a bug") as caught, session.one_error():
        raise ExceptionGroup("outer", [inner, full if bug_first else bug])
    assert isinstance(caught.value.__cause__, ExceptionGroup)


def test_a_full_disk_ends_the_run_and_it_is_resumed(experiment: Experiment, tmp_path: Path) -> None:
    whole = run_sync(experiment, options=options(tmp_path / "whole"))
    with pytest.raises(StorageError, match="File too large"), files_end_at(4000):
        run_sync(experiment, options=options(tmp_path))
    assert files(run_sync(experiment, options=options(tmp_path)).folder) == files(whole.folder)


def test_a_folder_in_use_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "exp"),
        pytest.raises(RunDirectoryError, match="another run is writing here"),
    ):
        run_sync(experiment, options=options(tmp_path))


@pytest.mark.parametrize("facts", [{}, {"dialogues": "3", "identity": {}}, {"dialogues": 3}])
def test_a_summary_of_something_else_is_not_taken_for_a_finished_run(
    experiment: Experiment, tmp_path: Path, facts: dict[str, Any]
) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / SUMMARY).write_text(json.dumps({"metrics": {}, "counts": {}, "run": facts}))
    with pytest.raises(RunDirectoryError, match="does not say what it asked"):
        run_sync(experiment, options=options(tmp_path))


# --- signals ------------------------------------------------------------------------------------------------------


def test_one_signal_lets_the_calls_in_flight_end(experiment: Experiment, tmp_path: Path) -> None:
    release = anyio.Event()

    def wait(request: Request) -> Any:
        if request.index == 3:
            signal.raise_signal(signal.SIGTERM)
        return release.wait()

    async def watch(_: Overview) -> None:
        await anyio.wait_all_tasks_blocked()
        release.set()

    client = Counting(first=wait)
    with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
        run_sync(experiment, options=options(tmp_path, signals=True), client=client, watch=watch)
    assert caught.value.exit_code == 143
    result = run_sync(experiment, options=options(tmp_path), client=Counting())
    assert result.kept == len(client.asked) == 4


def test_the_second_signal_does_not_wait(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drained(self: pool.Pool, reason: ProfilerError) -> None:
        really_drain(self, reason)
        if not abandoned:
            abandoned.append(True)
            signal.raise_signal(signal.SIGINT)

    abandoned: list[bool] = []
    really_drain = pool.Pool.drain
    monkeypatch.setattr(pool.Pool, "drain", drained)

    def hang(request: Request) -> Any:
        if request.index == 3:
            signal.raise_signal(signal.SIGINT)
        return anyio.sleep_forever()

    with pytest.raises(Interrupted, match="stopped by SIGINT") as caught:
        run_sync(experiment, options=options(tmp_path, signals=True), client=Counting(first=hang))
    assert caught.value.exit_code == 130
    assert run_sync(experiment, options=options(tmp_path)).kept == 0


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file"), ZeroDivisionError()])
async def test_an_onlooker_that_fails_ends_the_run_but_not_the_calls_in_flight(
    experiment: Experiment, tmp_path: Path, error: Exception
) -> None:
    release = anyio.Event()

    async def watch(_: Overview) -> None:
        await anyio.wait_all_tasks_blocked()
        release.set()
        raise error

    client = Counting(first=lambda _: release.wait())
    with pytest.raises(type(error)):
        await run(experiment, options=options(tmp_path, concurrency=4), client=client, watch=watch)
    result = await run(experiment, options=options(tmp_path), client=Counting())
    assert result.kept == len(client.asked) == 4


def test_a_signal_that_cannot_be_told_of_is_obeyed_and_so_is_the_next(experiment: Experiment, tmp_path: Path) -> None:
    def closed(words: str) -> None:
        if "SIG" in words:
            raise BrokenPipeError

    async def watch(view: Overview) -> None:
        while not view.look().stopping:
            await anyio.lowlevel.checkpoint()
        signal.raise_signal(signal.SIGTERM)

    def hang(request: Request) -> Any:
        if request.index == 3:
            signal.raise_signal(signal.SIGINT)
        return anyio.sleep_forever()

    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        run_sync(
            experiment, options=options(tmp_path, signals=True), client=Counting(first=hang), watch=watch, note=closed
        )


# --- clients of one's own -----------------------------------------------------------------------------------------


def test_a_client_of_ones_own_is_made_from_the_experiment(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "own_client_a.py").write_text(
        "from profiler import Reply\n"
        "class Client:\n"
        "    def __init__(self, experiment): self.name = experiment.experiment_id\n"
        "    async def complete(self, request):\n"
        "        return Reply(completion=self.name, stop_reason='end_turn', model='own', usage={})\n"
    )
    own = changed(experiment, client="own_client_a:Client")
    result: Result = run_sync(own, options=options(tmp_path, search_path=tmp_path))
    assert {line["completion"] for line in map(json.loads, files(result.folder)[RESPONSES].splitlines())} == {"exp"}


@pytest.mark.parametrize("attribute", ["nothing", "make_none", "make_silent"])
def test_what_makes_no_client_is_told(experiment: Experiment, tmp_path: Path, attribute: str) -> None:
    (tmp_path / "own_client_b.py").write_text(
        "nothing = 3\ndef make_none(experiment): return None\ndef make_silent(experiment): return object()\n"
    )
    own = changed(experiment, client=f"own_client_b:{attribute}")
    with pytest.raises(UsageError, match=r"which has no complete method|which cannot be called"):
        run_sync(own, options=options(tmp_path, search_path=tmp_path))


async def test_an_onlooker_sees_the_run_and_ends_with_it(experiment: Experiment, tmp_path: Path) -> None:
    seen: list[int] = []
    ended: list[bool] = []

    async def watch(view: Overview) -> None:
        try:
            while True:
                seen.append(view.look().done)
                await anyio.lowlevel.checkpoint()
        finally:
            ended.append(True)

    slow = changed(experiment, mock=MockSettings(latency_s=0.001))
    await run(slow, options=options(tmp_path), watch=watch)
    assert ended == [True]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] > 0


def test_what_only_streams_can_tell_has_no_value_in_mock_mode_and_that_is_said(
    experiment: Experiment, tmp_path: Path
) -> None:
    notes: list[str] = []
    asked = changed(experiment, slo=Slo(ttft_s=0.8))
    found = runner.run_sync(asked, options=options(tmp_path), note=notes.append).summary

    assert [note for note in notes if note.endswith("no value for ttft_s: the mock does not stream")]
    assert (found["goodput"], found["metrics"]["goodput"]["n"]) == (None, 0)
