"""Dialogues that are asked several times: each answer is kept, owed, retried and paid by itself."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from profiler.cli.summary_table import render
from profiler.core.errors import BudgetReached, CallError, ProviderFailed, RunDirectoryError
from profiler.core.nouns import Reply
from profiler.engine.options import Options
from profiler.engine.runner import run, run_all_sync, run_sync
from profiler.manifest.load import load_manifest
from profiler.manifest.metrics import Contains, MetricEntry
from profiler.manifest.settings import Experiment, Latency, MockSettings, Retry
from profiler.money.prices import dollars, pico
from profiler.provider.mock import MockClient
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.engine.paying import WORST, Provider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.core.nouns import Request

COUNT, REPEATS = 5, 3
ITEMS = COUNT * REPEATS


class Asked:
    """The mock, and which items it was asked."""

    describes = "the mock with a memory"

    def __init__(self, settings: MockSettings, *, first: Callable[[Request], None] | None = None) -> None:
        self.items: list[tuple[str, int | None]] = []
        self._mock = MockClient(settings)
        self._first = first

    async def complete(self, request: Request) -> Reply:
        if self._first is not None:
            self._first(request)
        self.items.append((request.dialogue.dialogue_id, request.repeat))
        return await self._mock.complete(request)


def experiment(folder: Path, **settings: Any) -> Experiment:
    path = folder / "d.jsonl"
    rows = [{"dialogue_id": f"d{n}", "user": f"question {n}", "required_facts": ["a", "b"]} for n in range(COUNT)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 64, "repeats": REPEATS}
    return Experiment(
        **{"experiment_id": "e", "dataset_path": path, "retry": Retry(max_attempts=1), **usual, **settings}
    )


def options(folder: Path, **others: Any) -> Options:
    return Options(**{"output_dir": folder, "fsync": "off", "mode": "mock", **others})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]


def interrupted(asked: Experiment, folder: Path, *, after: int, **others: Any) -> None:
    def give_up(request: Request) -> None:
        if request.index >= after:
            raise CallError("authentication", "no more", fatal=True)

    with pytest.raises(ProviderFailed):
        run_sync(asked, options=options(folder, concurrency=1, **others), client=Asked(asked.mock, first=give_up))


def test_every_log_has_a_line_for_each_repeat_side_by_side(tmp_path: Path) -> None:
    asked = experiment(tmp_path, mock=MockSettings(latency_s=Latency(median_s=0.001, sigma=1.0)))

    folder = run_sync(asked, options=options(tmp_path / "runs")).folder

    for name in ("requests", "responses", "scores"):
        places = [(line["dialogue_id"], line["index"], line["repeat"]) for line in lines(folder, name)]
        assert places == [(f"d{n // REPEATS}", n, n % REPEATS) for n in range(ITEMS)]
    assert len({line["request_hash"] for line in lines(folder, "requests")}) == COUNT
    assert len({line["completion"] for line in lines(folder, "responses")}) > 1
    facts = SavedRun(folder).summary["run"]
    assert (facts["dialogues"], facts["repeats"], facts["items"]) == (COUNT, REPEATS, ITEMS)
    assert [each.repeat for each in SavedRun(folder).items()] == [n % REPEATS for n in range(ITEMS)]


def test_once_is_what_no_repeats_are_to_the_byte(tmp_path: Path) -> None:
    text = json.dumps({"experiment_id": "e", "model": "m", "max_tokens": 9, "dataset_path": "d.jsonl"})
    experiment(tmp_path)
    written = {"plain": text, "once": f'{text[:-1]}, "repeats": 1}}'}
    found = {}
    for name, manifest in written.items():
        (tmp_path / f"{name}.yaml").write_text(manifest)
        (asked,) = load_manifest(tmp_path / f"{name}.yaml", environ={}).experiments
        interrupted(asked, tmp_path / name, after=2)
        begun = files(tmp_path / name / "e")
        run_sync(asked, options=options(tmp_path / name), client=Asked(asked.mock))
        found[name] = begun, files(tmp_path / name / "e")

    assert found["once"] == found["plain"]
    assert b'"repeat' not in b"".join(found["once"][0].values())
    assert b'"repeat' not in b"".join(found["once"][1].values())


@pytest.mark.parametrize("after", [1, 4, REPEATS * 2, ITEMS - 1])
@pytest.mark.parametrize("fields", [None, ("dialogue_id", "type", "completion", "repeat"), ("dialogue_id", "type")])
def test_a_run_that_was_stopped_between_repeats_is_resumed_to_the_same_bytes(
    tmp_path: Path, after: int, fields: tuple[str, ...] | None
) -> None:
    asked = experiment(tmp_path, output_fields=fields, metrics=("refusal_rate",))
    whole = run_sync(asked, options=options(tmp_path / "whole"), client=Asked(asked.mock))
    interrupted(asked, tmp_path / "runs", after=after)
    begun, told = SavedRun(tmp_path / "runs/e").summary, list[str]()
    assert (begun["run"]["kept"], begun["run"]["items"], begun["counts"]["total"]) == (after, ITEMS, after)

    client = Asked(asked.mock)
    result = run_sync(asked, options=options(tmp_path / "runs"), client=client, note=told.append)

    assert files(result.folder) == files(whole.folder)
    assert sorted(client.items) == sorted((f"d{n // REPEATS}", n % REPEATS) for n in range(after, ITEMS))
    assert (result.kept, result.answered_now) == (after, ITEMS - after)
    assert f"resuming: {after} of {ITEMS} answers are kept" in told


def test_another_number_of_repeats_is_another_run(tmp_path: Path) -> None:
    run_sync(experiment(tmp_path), options=options(tmp_path))
    with pytest.raises(RunDirectoryError, match="repeats: the run has 3, now it is 1"):
        run_sync(experiment(tmp_path, repeats=1), options=options(tmp_path))


def test_only_the_repeats_that_failed_are_asked_again(tmp_path: Path) -> None:
    asked = experiment(tmp_path)

    def fail(request: Request) -> None:
        if (request.dialogue.dialogue_id, request.repeat) in {("d1", 2), ("d3", 0)}:
            raise CallError("bad_request", "no", status=400)

    first = run_sync(asked, options=options(tmp_path / "runs"), client=Asked(asked.mock, first=fail))
    assert first.summary["counts"]["error"] == 2
    client = Asked(asked.mock)

    again = run_sync(asked, options=options(tmp_path / "runs", retry_failed=True), client=client)

    assert client.items == [("d1", 2), ("d3", 0)]
    assert again.summary["counts"]["error"] == 0
    whole = run_sync(asked, options=options(tmp_path / "whole"), client=Asked(asked.mock))
    assert files(again.folder) == files(whole.folder)


def test_a_limit_counts_dialogues(tmp_path: Path) -> None:
    result = run_sync(experiment(tmp_path), options=options(tmp_path, limit=2))
    assert result.answered_now == 2 * REPEATS
    assert result.summary["run"]["dialogues"] == 2


@pytest.mark.parametrize("fields", [None, ("dialogue_id", "type", "completion")])
def test_answers_are_shared_with_experiments_that_repeat_as_often(
    tmp_path: Path, fields: tuple[str, ...] | None
) -> None:
    def wanting(name: str, **settings: Any) -> Experiment:
        return experiment(tmp_path, experiment_id=name, output_fields=fields, **settings)

    several = [
        wanting("one", metrics=("refusal_rate",)),
        wanting("other", metrics=("completion_rate",)),
        wanting("fewer", metrics=("completion_rate",), repeats=2),
    ]
    client = Asked(MockSettings())

    ended = run_all_sync(several, options=options(tmp_path / "runs", concurrency=1), client=client)

    assert all(each.result for each in ended)
    assert len(client.items) == ITEMS + 2 * COUNT
    one, other = (files(tmp_path / "runs" / name) for name in ("one", "other"))
    assert one["responses.jsonl"] == other["responses.jsonl"]
    assert one["requests.jsonl"] == other["requests.jsonl"]


async def test_the_cap_holds_for_all_repeats_together(tmp_path: Path) -> None:
    asked, provider, cap = experiment(tmp_path), Provider(), 2 * WORST
    how = options(tmp_path / "runs", mode="live", concurrency=2, max_cost_usd=dollars(cap))

    with pytest.raises(BudgetReached):
        await run(asked, options=how, client=provider)
    begun = SavedRun(tmp_path / "runs/e").summary["run"]
    assert 0 < begun["kept"] < ITEMS
    assert pico(begun["spent_usd"]) == provider.billed <= cap

    result = await run(asked, options=msgspec.structs.replace(how, max_cost_usd=1.0), client=provider)

    assert result.summary["counts"]["answer"] == ITEMS == provider.calls.total()
    assert pico(result.summary["run"]["spent_usd"]) == provider.billed


def test_the_summary_says_how_alike_the_answers_to_a_dialogue_are_and_how_often_k_of_them_pass(tmp_path: Path) -> None:
    """Three of five dialogues are answered rightly each time, one never, and one in one repeat of three."""
    answers = [[{"completion": "yes" if right else "no"} for right in each] for each in ([1] * 3, [1] * 3, [1] * 3, [0] * 3, [0, 1, 0])]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({f"d{n}": each for n, each in enumerate(answers)}))
    asked = experiment(
        tmp_path,
        metrics=(MetricEntry(name="right", contains=Contains(any=("yes",))), "fact_coverage"),
        pass_at=(1, 3),
        mock=MockSettings(responses_path=tmp_path / "a.json"),
    )

    result = run_sync(asked, options=options(tmp_path / "runs"))

    found = result.summary["metrics"]["right"]
    assert (found["value"], found["n"], found["dialogues"]) == (pytest.approx(2 / 3, abs=1e-6), ITEMS, COUNT)
    assert COUNT < found["n_effective"] < ITEMS
    assert found["variance"]["within"] == pytest.approx((1 * 2 / 3) / (ITEMS - COUNT), abs=1e-6)
    assert (found["pass@3"]["value"], found["pass^3"]["value"], found["pass@3"]["n"]) == (0.8, 0.6, COUNT)
    assert found["pass@1"]["value"] == found["value"]
    shown = io.StringIO()
    render([result.summary], file=shown, plain=True, width=200)
    assert "effective n" in shown.getvalue()
    assert "pass^3" in shown.getvalue()
    assert SavedRun(result.folder).recompute() == result.summary


def test_other_numbers_of_passes_are_counted_from_the_answers_that_are_there(tmp_path: Path) -> None:
    asked, client = experiment(tmp_path, metrics=("refusal_rate",), pass_at=(1,)), Asked(MockSettings())
    run_sync(asked, options=options(tmp_path / "runs"), client=client)
    other = msgspec.structs.replace(asked, pass_at=(2,), thresholds={"refusal_rate.pass^2": 1.0})

    again = run_sync(other, options=options(tmp_path / "runs"), client=client)

    assert again.answered_now == 0
    assert "pass@2" in again.summary["metrics"]["refusal_rate"]
    assert "pass@1" not in again.summary["metrics"]["refusal_rate"]
    assert again.missed == ["refusal_rate.pass^2 is 0, below the minimum of 1"]
    plain = run_sync(experiment(tmp_path, metrics=("refusal_rate",)), options=options(tmp_path / "runs"), client=client)
    assert "pass_at" not in plain.summary["run"]
