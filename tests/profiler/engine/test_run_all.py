"""One run of many experiments: what they share, and that a fault in one touches no other."""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from profiler.core.errors import BudgetReached, Interrupted
from profiler.core.nouns import Reply
from profiler.dataset import file
from profiler.engine import open_files
from profiler.engine.runner import run_all, run_all_sync, run_sync
from profiler.manifest.settings import Experiment, Latency, MockSettings, RateLimits
from profiler.money.prices import PICO, dollars
from tests.profiler.engine.crowd import COUNT, Crowd, dataset, experiments, files, options, states
from tests.profiler.engine.paying import WORST, Provider

if TYPE_CHECKING:
    from profiler.core.nouns import Request
    from profiler.engine.progress import Overview


def test_each_ends_with_the_bytes_that_it_has_alone(tmp_path: Path) -> None:
    many = experiments(tmp_path, "a", "b", "c", mock=MockSettings(latency_s=Latency(median_s=0.001, sigma=1.0)))
    ended = run_all_sync(many, options=options(tmp_path))

    assert states(ended) == {"a": "complete", "b": "complete", "c": "complete"}
    for each in many:
        alone = run_sync(each, options=options(tmp_path / "alone"))
        assert files(tmp_path / "runs" / each.experiment_id) == files(alone.folder)


async def test_the_tail_of_one_is_filled_by_the_next_and_the_places_hold_for_all(tmp_path: Path) -> None:
    def until(crowd: Crowd, name: str) -> bool:
        return frozenset("ac") in crowd.together if name == "a5" else crowd.most == 3

    crowd = Crowd(until=until)
    many = experiments(tmp_path, "a", "b", "c", concurrency=2)
    await run_all(many, options=options(tmp_path, concurrency=3), client=crowd)

    assert crowd.most == 3
    assert Counter(name[0] for name in crowd.asked) == Counter({"a": COUNT, "b": COUNT, "c": COUNT})


async def test_they_begin_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    names = "hgfedcba"
    crowd = Crowd()
    await run_all(experiments(tmp_path, *names, count=2), options=options(tmp_path, concurrency=1), client=crowd)

    assert [name[0] for name in crowd.asked] == [name for name in names for _ in range(2)]


@pytest.mark.parametrize(("in_turn", "most"), [(False, 8), (True, 1)])
async def test_no_more_folders_are_open_than_the_places_need(tmp_path: Path, *, in_turn: bool, most: int) -> None:
    runs, open_at_once = tmp_path / "runs", list[int]()

    def until(*_: object) -> bool:
        open_at_once.append(len(list(runs.glob("*/journal.jsonl"))))
        return True

    many = experiments(tmp_path, *"abcdefghijklmnopqrst", count=3)
    ended = await run_all(many, options=options(tmp_path, concurrency=4, in_turn=in_turn), client=Crowd(until=until))

    assert all(each.result for each in ended)
    assert 1 <= max(open_at_once) <= most  # with those that have asked, and whose results are being written


async def test_an_experiment_is_bound_by_its_own_concurrency_too(tmp_path: Path) -> None:
    crowd = Crowd(until=lambda crowd, _: crowd.most == 1 + COUNT)
    [narrow] = experiments(tmp_path, "a", concurrency=1)
    [wide] = experiments(tmp_path, "b", concurrency=8)
    await run_all([narrow, wide], options=options(tmp_path), client=crowd)

    assert crowd.most == 1 + COUNT


async def test_what_is_told_of_one_of_many_names_it(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "from profiler import mean\n"
        "def fail(outcome): raise ZeroDivisionError('mine')\n"
        "broken = mean('broken', fail, lower=0, upper=1)\n"
    )
    how, told = options(tmp_path, search_path=tmp_path), list[str]()
    many = experiments(tmp_path, "a", metrics=("completion_rate",))
    many += experiments(tmp_path, "b", metrics=("completion_rate", "told:broken"))
    await run_all(many, options=how, note=told.append)
    assert [line.partition(" failed")[0] for line in told] == ["b: metric 'broken'"]

    told.clear()
    await run_all(many[1:], options=options(tmp_path / "alone", search_path=tmp_path), note=told.append)
    assert [line.partition(" failed")[0] for line in told] == ["metric 'broken'"]


async def test_of_no_experiments_none_is_run(tmp_path: Path) -> None:
    assert await run_all([], options=options(tmp_path)) == []


async def test_no_more_files_are_open_than_the_system_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three folders fit into what is allowed, where eight would be open otherwise."""
    before = files_open_now()
    allowed = before + open_files.SPARE + 3 * open_files.FILES_OF_A_RUN
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    folders, most = list[int](), list[int]()

    def until(*_: object) -> bool:
        folders.append(len(list((tmp_path / "runs").glob("*/journal.jsonl"))))
        most.append(files_open_now())
        return True

    many = experiments(tmp_path, *"abcdefghijklmnopqrst", count=3)
    ended = await run_all(many, options=options(tmp_path, concurrency=4), client=Crowd(until=until))

    assert all(each.result for each in ended)
    assert max(folders) <= 3
    assert max(most) - before <= 3 * open_files.FILES_OF_A_RUN


def files_open_now() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_dataset_that_all_share_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    survey = file._survey

    def counting(path: Path, **how: Any) -> Any:
        looked.append(path)
        return survey(path, **how)

    monkeypatch.setattr(file, "_survey", counting)
    shared = dataset(tmp_path)
    os.utime(shared, (10**9, 10**9))  # just written, it might be written to again
    many = [
        Experiment(experiment_id=name, model=f"m-{name}", max_tokens=9, dataset_path=shared) for name in ("a", "b", "c")
    ]
    ended = await run_all(many, options=options(tmp_path))
    assert looked == [shared]
    assert [each.result.answered_now for each in ended if each.result] == [COUNT] * 3


# Money


async def test_a_cap_for_all_is_never_passed_and_is_used(tmp_path: Path) -> None:
    provider, cap = Provider(), 9 * WORST
    many = experiments(tmp_path, "a", "b", "c", count=40, concurrency=8)
    ended = await run_all(many, options=options(tmp_path, mode="live", max_cost_usd=cap / PICO), client=provider)

    assert "BudgetReached" in states(ended).values()
    assert cap - 2 * WORST < provider.billed <= cap
    stopped = next(each.error for each in ended if isinstance(each.error, BudgetReached))
    assert "for all experiments" in str(stopped)
    assert stopped.enough_usd is not None
    assert stopped.enough_usd > cap / PICO


async def test_what_earlier_commands_have_spent_counts_against_the_cap_of_all(tmp_path: Path) -> None:
    provider = Provider()
    many = experiments(tmp_path, "a", "b", count=40, concurrency=4)
    for share in (5, 9):
        ended = await run_all(
            many, options=options(tmp_path, mode="live", max_cost_usd=share * WORST / PICO), client=provider
        )
        assert "BudgetReached" in states(ended).values()
        assert (share - 2) * WORST < provider.billed <= share * WORST
    ended = await run_all(many, options=options(tmp_path, mode="live", max_cost_usd=1.0), client=provider)
    spent = sum(each.result.summary["run"]["spent_usd"] for each in ended if each.result)
    assert spent == pytest.approx(dollars(provider.billed))
    assert set(provider.calls.values()) == {1}


async def test_a_cap_of_one_stops_that_one_alone(tmp_path: Path) -> None:
    [capped] = experiments(tmp_path, "a", count=40, max_cost_usd=4 * WORST / PICO)
    ended = await run_all(
        [capped, *experiments(tmp_path, "b")], options=options(tmp_path, mode="live"), client=Provider()
    )
    assert states(ended) == {"a": "BudgetReached", "b": "complete"}


# What is shared


async def test_who_asks_the_same_model_shares_its_limits_and_the_smallest_holds(tmp_path: Path) -> None:
    async def watch(overview: Overview) -> None:
        while not overview.look().held_up_by:
            await checkpoint()
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    crowd = Crowd()
    [one] = experiments(tmp_path, "a", count=30, rate_limits=RateLimits(requests_per_minute=6000))
    [other] = experiments(tmp_path, "b", count=30, rate_limits=RateLimits(requests_per_minute=1))
    ended = await run_all([one, other], options=options(tmp_path, mode="live", signals=True), client=crowd, watch=watch)
    assert set(states(ended).values()) == {"Interrupted"}
    assert len(crowd.asked) < 5  # with 6000 a minute all of `a` would have been asked at once


async def test_a_provider_that_makes_its_calls_wait_leaves_the_places_to_another(tmp_path: Path) -> None:
    async def watch(_: Overview) -> None:
        with anyio.move_on_after(5):
            while len(crowd.asked) < 1 + COUNT:
                await checkpoint()
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    crowd = Crowd(until=lambda crowd, name: name[0] == "a" or crowd.most == 2)
    slow = experiments(tmp_path, "a", model="slow", rate_limits=RateLimits(requests_per_minute=1))
    how = options(tmp_path, mode="live", signals=True, concurrency=2)
    ended = await run_all([*slow, *experiments(tmp_path, "b")], options=how, client=crowd, watch=watch)

    assert states(ended)["a"] == "Interrupted"
    assert crowd.most == 2
    assert Counter(name[0] for name in crowd.asked) == Counter({"a": 1, "b": COUNT})


async def test_questions_that_differ_only_in_their_metrics_are_asked_once(tmp_path: Path) -> None:
    shared, told, crowd = dataset(tmp_path), list[str](), Crowd()
    usual: dict[str, Any] = {"model": "m", "max_tokens": 9, "dataset_path": shared}
    many = [
        Experiment(experiment_id="first", metrics=("completion_rate",), **usual),
        Experiment(experiment_id="second", metrics=("refusal_rate", "completion_rate"), **usual),
        Experiment(experiment_id="other", **{**usual, "max_tokens": 10}),
    ]
    ended = await run_all(many, options=options(tmp_path), client=crowd, note=told.append)

    assert len(crowd.asked) == 2 * COUNT
    assert states(ended) == {"first": "complete", "second": "complete", "other": "complete"}
    assert any("second: asks what first has asked" in line for line in told)
    second = ended[1].result
    assert second is not None
    assert list(second.summary["metrics"]) == ["refusal_rate", "completion_rate"]
    assert second.summary["run"]["answers_of"] == "first"
    again = await run_all(many, options=options(tmp_path), client=crowd)
    assert [each.result.answered_now for each in again if each.result] == [0, 0, 0]


async def test_if_the_one_that_is_asked_fails_the_next_asks(tmp_path: Path) -> None:
    shared, crowd = dataset(tmp_path), Crowd()
    usual: dict[str, Any] = {"model": "m", "max_tokens": 9, "dataset_path": shared}
    many = [
        Experiment(experiment_id=name, metrics=(metric,), **usual)
        for name, metric in (("a", "completion_rate"), ("b", "refusal_rate"), ("c", "fact_coverage"))
    ]
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "responses.jsonl").mkdir()
    ended = await run_all(many, options=options(tmp_path), client=crowd)
    assert states(ended) == {"a": "RunDirectoryError", "b": "complete", "c": "complete"}
    third = ended[2].result
    assert third is not None
    assert third.summary["run"]["answers_of"] == "b"


# Signals and onlookers


async def test_a_signal_lets_calls_end_begins_nothing_new_and_the_same_call_goes_on(tmp_path: Path) -> None:
    class Stopping(Crowd):
        stops = True

        async def complete(self, request: Request) -> Reply:
            if self.stops and request.dialogue.dialogue_id == "a3":
                signal.raise_signal(signal.SIGTERM)
                await checkpoint()
            return await super().complete(request)

    many = experiments(tmp_path, "a", "b", "c", concurrency=1)
    first = Stopping()
    ended = await run_all(many, options=options(tmp_path, signals=True), client=first)
    assert set(states(ended).values()) == {"Interrupted"}
    assert [each.begun for each in ended] == [True, False, False]
    assert all(isinstance(each.error, Interrupted) and each.error.exit_code == 143 for each in ended)

    rest = Stopping()
    rest.stops = False
    ended = await run_all(many, options=options(tmp_path, signals=True), client=rest)
    assert set(states(ended).values()) == {"complete"}
    assert not set(first.asked) & set(rest.asked)


async def test_the_onlooker_sees_the_whole_and_those_under_way(tmp_path: Path) -> None:
    seen: list[Overview] = []
    looks: list[Any] = []

    async def watch(overview: Overview) -> None:
        seen.append(overview)
        await anyio.sleep_forever()

    class Looking(Crowd):
        async def complete(self, request: Request) -> Reply:
            looks.extend(overview.look() for overview in seen)
            return await super().complete(request)

    many = experiments(tmp_path, "a", "b", "c", concurrency=2)
    await run_all(many, options=options(tmp_path), client=Looking(), watch=watch)
    assert {look.total for look in looks} == {3 * COUNT}
    assert max(len(look.under_way) for look in looks) >= 1
    last = seen[0].look()
    assert (last.done, last.total, last.experiments, last.under_way) == (3 * COUNT, 3 * COUNT, (3, 3), ())
