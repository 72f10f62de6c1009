"""No answer is paid for twice: what earlier runs were answered is taken over, and only the rest is asked."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from anyio.lowlevel import checkpoint

from profiler.core.errors import CallError, Interrupted, LogError
from profiler.core.nouns import Reply
from profiler.engine.options import Options
from profiler.engine.runner import run, run_all, run_sync
from profiler.manifest.settings import Experiment, MockSettings, Retry
from tests.profiler.engine.crowd import files
from tests.profiler.engine.paying import Provider

if TYPE_CHECKING:
    from profiler.core.nouns import Request

COUNT = 12


def dataset(folder: Path, *, count: int = COUNT, name: str = "d", **more: Any) -> Path:
    path = folder / f"{name}.jsonl"
    rows = [{"dialogue_id": f"d{index}", "user": f"question {index}", **more} for index in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def experiment(folder: Path, **settings: Any) -> Experiment:
    usual: dict[str, Any] = {
        "experiment_id": "demo",
        "model": "claude-haiku-4-5",
        "max_tokens": 64,
        "retry": Retry(max_attempts=1),
    }
    return Experiment(**{**usual, "dataset_path": folder / "d.jsonl", **settings})


def options(folder: Path, **others: Any) -> Options:
    return Options(**{"output_dir": folder / "runs", "fsync": "off", "mode": "live", **others})


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]


async def test_only_what_the_pilot_was_not_asked_is_asked_and_what_it_once_cost_is_kept(tmp_path: Path) -> None:
    dataset(tmp_path)
    pilot, rest, told = Provider(), Provider(), list[str]()
    first = await run(
        experiment(tmp_path), options=options(tmp_path, output_dir=tmp_path / "pilot", limit=5), client=pilot
    )
    found = await run(
        experiment(tmp_path),
        options=options(tmp_path, reuse=(tmp_path / "pilot" / "demo",)),
        client=rest,
        note=told.append,
    )

    assert sorted(pilot.calls + rest.calls) == sorted(f"d{index}" for index in range(COUNT))
    assert set((pilot.calls + rest.calls).values()) == {1}
    assert "demo: 5 of 12 answers are taken over from earlier runs; nothing is paid for them again" in told
    taken, before = records(found.folder)[:5], records(first.folder)
    for new, old in zip(taken, before, strict=True):
        assert new.pop("reused_from") == "demo"
        assert new.pop("reused_cost_usd") == old["cost_usd"] > 0
        del old["at_s"]
        old.pop("between_s", None)
        assert new == {**old, "cost_usd": 0.0, "latency_s": None, "queue_s": None, "attempts": 0}
    assert all("reused_from" not in each for each in records(found.folder)[5:])

    summary = found.summary
    assert summary["reused"] == {"n": 5, "cost_usd": pytest.approx(first.summary["cost_usd"])}
    assert summary["cost_usd"] == summary["run"]["spent_usd"] == pytest.approx(rest.billed / 1e12)
    assert summary["latency_s"]["n"] == summary["attempts"]["total"] == COUNT - 5
    assert (found.kept, found.answered_now) == (5, COUNT - 5)


@pytest.mark.parametrize("fields", [None, ("dialogue_id", "completion", "type", "cost_usd")])
async def test_what_was_reused_is_reused_again_at_its_first_price(
    tmp_path: Path, fields: tuple[str, ...] | None
) -> None:
    dataset(tmp_path)
    client = Provider()
    prices, taken = [], list[dict[str, Any]]()
    for number in range(3):
        earlier = (tmp_path / f"{number - 1}" / f"run{number - 1}",) if number else ()
        made = await run(
            experiment(tmp_path, experiment_id=f"run{number}", output_fields=fields),
            options=options(tmp_path, output_dir=tmp_path / f"{number}", reuse=earlier),
            client=client,
        )
        taken = records(made.folder)
        prices.append([each.get("reused_cost_usd") or each["cost_usd"] for each in taken])
    assert prices[0] == prices[1] == prices[2]
    assert {each["reused_from"] for each in taken} == {"run0"}
    assert set(client.calls.values()) == {1}


async def test_errors_are_asked_again_and_refusals_and_cut_off_answers_are_not(tmp_path: Path) -> None:
    class Mixed(Provider):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            reasons = {"d1": "refusal", "d2": "max_tokens"}
            return msgspec.structs.replace(
                reply, stop_reason=reasons.get(request.dialogue.dialogue_id, reply.stop_reason)
            )

    def trouble(request: Request) -> CallError | None:
        fails = len(client.calls) < COUNT and request.dialogue.dialogue_id == "d0"
        return CallError("overloaded", "no", status=400) if fails else None

    dataset(tmp_path)
    client = Mixed(trouble)
    pilot = await run(experiment(tmp_path), options=options(tmp_path, output_dir=tmp_path / "pilot"), client=client)
    assert [each["type"] for each in records(pilot.folder)[:4]] == ["error", "refusal", "truncated", "answer"]
    found = await run(experiment(tmp_path), options=options(tmp_path, reuse=(pilot.folder,)), client=client)
    assert [each["type"] for each in records(found.folder)[:4]] == ["answer", "refusal", "truncated", "answer"]
    assert {name: calls for name, calls in client.calls.items() if calls > 1} == {"d0": 2}


async def test_answers_of_an_unfinished_run_count_too(tmp_path: Path) -> None:
    class Stops(Provider):
        async def complete(self, request: Request) -> Reply:
            if len(self.calls) == 4:
                signal.raise_signal(signal.SIGTERM)
                await checkpoint()
            return await super().complete(request)

    dataset(tmp_path)
    client = Stops()
    pilot = options(tmp_path, output_dir=tmp_path / "pilot", signals=True)
    with pytest.raises(Interrupted):
        await run(experiment(tmp_path, concurrency=1), options=pilot, client=client)
    found = await run(
        experiment(tmp_path), options=options(tmp_path, reuse=(tmp_path / "pilot" / "demo",)), client=client
    )
    assert found.summary["counts"]["answer"] == COUNT
    assert found.summary["reused"]["n"] >= 3
    assert set(client.calls.values()) == {1}


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"metrics": ("completion_rate",)}, 0),
        ({"experiment_id": "other"}, 0),
        ({"concurrency": 3}, 0),
        ({"max_tokens": 65}, COUNT),
        ({"model": "claude-sonnet-4-5"}, COUNT),
        ({"api_version": "2023-06-01"}, COUNT),
    ],
    ids=str,
)
async def test_only_the_same_request_to_the_same_source_is_taken_over(
    tmp_path: Path, changed: dict[str, Any], again: int
) -> None:
    dataset(tmp_path)
    client = Provider()
    pilot = await run(experiment(tmp_path), options=options(tmp_path, output_dir=tmp_path / "pilot"), client=client)
    await run(experiment(tmp_path, **changed), options=options(tmp_path, reuse=(pilot.folder,)), client=client)
    assert client.calls.total() == COUNT + again


async def test_clients_of_ones_own_are_sources_of_their_own(tmp_path: Path) -> None:
    class Other(Provider):
        pass

    dataset(tmp_path)
    pilot = await run(experiment(tmp_path), options=options(tmp_path, output_dir=tmp_path / "pilot"), client=Provider())
    other = Other()
    found = await run(experiment(tmp_path), options=options(tmp_path, reuse=(pilot.folder,)), client=other)
    assert other.calls.total() == COUNT
    assert "reused" not in found.summary


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        (("dialogue_id", "completion", "type"), 1),  # the conversation lacks its other replies
        (("dialogue_id", "completion", "replies", "type", "usage", "cost_usd"), 0),
        (("dialogue_id", "type", "usage"), 2),
    ],
)
async def test_a_log_without_the_words_has_no_answers(tmp_path: Path, fields: tuple[str, ...], again: int) -> None:
    talks = [{"dialogue_id": "one", "user": "hello"}, {"dialogue_id": "two", "turns": ["hello", "and then?"]}]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    pilot = await run(
        experiment(tmp_path, output_fields=fields),
        options=options(tmp_path, output_dir=tmp_path / "pilot"),
        client=Provider(),
    )
    client = Provider()
    found = await run(experiment(tmp_path), options=options(tmp_path, reuse=(pilot.folder,)), client=client)
    assert len(client.calls) == again
    assert found.summary["counts"]["answer"] == 2
    if not again:
        assert len(records(found.folder)[1]["replies"]) == 2


async def test_dialogues_that_ask_the_same_get_back_what_each_was_answered(tmp_path: Path) -> None:
    class Counts(Provider):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            return msgspec.structs.replace(reply, completion=f"for {request.dialogue.dialogue_id}")

    rows = [{"dialogue_id": f"d{index}", "user": "the same question"} for index in range(4)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pilot = await run(experiment(tmp_path), options=options(tmp_path, output_dir=tmp_path / "pilot"), client=Counts())
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    found = await run(experiment(tmp_path), options=options(tmp_path, reuse=(pilot.folder,)), client=Counts())
    assert [each["completion"] for each in records(found.folder)] == ["for d3", "for d2", "for d1", "for d0"]


async def test_a_manifest_that_is_begun_anew_pays_only_for_what_changed(tmp_path: Path) -> None:
    dataset(tmp_path)
    client = Provider()
    both = [experiment(tmp_path, experiment_id="a"), experiment(tmp_path, experiment_id="b", max_tokens=65)]
    await run_all(both, options=options(tmp_path), client=client)
    dataset(tmp_path, count=COUNT + 3)
    ended = await run_all(both, options=options(tmp_path, fresh=True, reuse=(tmp_path / "runs",)), client=client)
    assert [each.result.summary["reused"]["n"] for each in ended if each.result] == [COUNT, COUNT]
    assert client.calls.total() == 2 * (COUNT + 3)


async def test_experiments_that_share_their_answers_tell_what_these_cost(tmp_path: Path) -> None:
    dataset(tmp_path)
    both = [
        experiment(tmp_path, experiment_id="a", metrics=("completion_rate",)),
        experiment(tmp_path, experiment_id="b", metrics=("refusal_rate",)),
    ]
    first, second = [
        records(each.result.folder)
        for each in await run_all(both, options=options(tmp_path), client=Provider())
        if each.result
    ]
    assert [each["reused_cost_usd"] for each in second] == [each["cost_usd"] for each in first]
    assert {each["cost_usd"] for each in second} == {0.0}


def test_a_run_stopped_while_it_took_over_ends_with_the_same_bytes(tmp_path: Path) -> None:
    dataset(tmp_path, count=1000)
    mock = experiment(tmp_path, mock=MockSettings(seed=3))
    pilot = run_sync(mock, options=options(tmp_path, mode="mock", output_dir=tmp_path / "pilot", limit=700))
    whole = run_sync(mock, options=options(tmp_path, mode="mock", output_dir=tmp_path / "whole", reuse=(pilot.folder,)))
    assert whole.summary["reused"]["n"] == 700

    def stops(said: str) -> None:
        if "takes over" in said or "taken over" in said:
            signal.raise_signal(signal.SIGTERM)

    stopped = options(tmp_path, mode="mock", reuse=(pilot.folder,), signals=True)
    with pytest.raises(Interrupted):
        run_sync(mock, options=stopped, note=stops)
    journal = tmp_path / "runs" / "demo" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:300]) + lines[300][:20])  # as a kill in the middle of it leaves it
    found = run_sync(mock, options=options(tmp_path, mode="mock", reuse=(pilot.folder,)))
    assert files(found.folder) == files(whole.folder)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("requests.jsonl", None, "cannot be read"),
        ("requests.jsonl", "{}\n", "requests.jsonl:1: is not a line of this log"),
        ("responses.jsonl", "no JSON\n", "responses.jsonl:1: is not a line of this log"),
        ("requests.jsonl", '{"dialogue_id": "d0", "request_hash": "?"}\n', "a request_hash that is none"),
        ("responses.jsonl", '{"dialogue_id": "d1", "type": "answer", "completion": ""}\n', "'d1' where 'd0' was asked"),
    ],
)
def test_a_damaged_run_is_named_before_anything_is_asked(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    dataset(tmp_path)
    client = Provider()
    pilot = run_sync(experiment(tmp_path), options=options(tmp_path, output_dir=tmp_path / "pilot"), client=client)
    if text is None:
        (pilot.folder / name).unlink()
    else:
        (pilot.folder / name).write_text(text)
    with pytest.raises(LogError, match=words):
        run_sync(experiment(tmp_path), options=options(tmp_path, reuse=(pilot.folder,)), client=client)
    assert client.calls.total() == COUNT
