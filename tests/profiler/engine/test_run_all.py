"""One run of many experiments: what they share, and that a fault in one touches no other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from profiler.core.errors import BudgetReached, CallError, Interrupted, ProviderFailed, RunDirectoryError, UsageError
from profiler.core.nouns import Reply
from profiler.dataset import file
from profiler.engine import descriptors, runner
from profiler.engine.options import Options
from profiler.engine.runner import run_all, run_all_sync, run_sync
from profiler.manifest.settings import Experiment, Latency, MockSettings, RateLimits, Retry
from profiler.money.prices import PICO, dollars
from tests.profiler.engine.test_run_money import WORST, Provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Request
    from profiler.engine.progress import Overview
    from profiler.engine.result import Ended

COUNT = 6


def dataset(folder: Path, *, name: str = "d", count: int = COUNT) -> Path:
    path = folder / f"{name}.jsonl"
    rows = [{"dialogue_id": f"{name}{index}", "user": f"question {index}"} for index in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def experiments(folder: Path, *names: str, count: int = COUNT, **settings: Any) -> list[Experiment]:
    """Each with a dataset of its own, so that a call tells whose it is."""
    usual: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 64, "retry": Retry(max_attempts=1), **settings}
    return [
        Experiment(experiment_id=name, dataset_path=dataset(folder, name=name, count=count), **usual) for name in names
    ]


def options(folder: Path, **others: Any) -> Options:
    return Options(**{"output_dir": folder / "runs", "fsync": "off", **others})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def states(ended: list[Ended]) -> dict[str, str]:
    return {each.experiment_id: "complete" if each.result else type(each.error).__name__ for each in ended}


class Crowd:
    """Answers as soon as it may, and knows who is being answered."""

    def __init__(self, *, until: Callable[[Crowd, str], bool] = lambda _, __: True) -> None:
        self.until = until
        self.inside: Counter[str] = Counter()
        self.most = 0
        self.together: set[frozenset[str]] = set()
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Reply:
        name = request.dialogue.dialogue_id[0]
        self.asked.append(request.dialogue.dialogue_id)
        self.inside[name] += 1
        self.most = max(self.most, self.inside.total())
        self.together.add(frozenset(+self.inside))
        await checkpoint()
        while not self.until(self, request.dialogue.dialogue_id):
            await checkpoint()
        self.inside[name] -= 1
        return Reply(completion="yes", stop_reason="end_turn", model="m", usage={})


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


async def test_a_fault_in_one_touches_no_other(tmp_path: Path) -> None:
    class Faulty(Crowd):
        async def complete(self, request: Request) -> Reply:
            if request.dialogue.dialogue_id == "b2":
                raise CallError("authentication", "no", status=401, fatal=True)
            return await super().complete(request)

    many = experiments(tmp_path, "a", "b", "c", "d")
    (tmp_path / "runs" / "c" / "requests.jsonl").mkdir(parents=True)  # no file can be written there
    ended = await run_all(many, options=options(tmp_path, mode="live"), client=Faulty())

    assert states(ended) == {"a": "complete", "b": "ProviderFailed", "c": "RunDirectoryError", "d": "complete"}
    assert {type(each.error) for each in ended if each.error} == {ProviderFailed, RunDirectoryError}


ODD = """
import asyncio
from profiler.core.nouns import Reply

def odd(number):
    usual = dict(completion="x", stop_reason="end_turn", model="m", usage={})
    match number % 8:
        case 0: return None
        case 1: return Reply(**{**usual, "completion": b"bytes"})
        case 2: return Reply(**{**usual, "usage": {"input_tokens": -1e999}})
        case 3: return Reply(**{**usual, "completion": "half \\ud800"})
        case 4: return Reply(**{**usual, "metadata": {"own": object()}})
        case 5: raise SystemExit(3)
        case 6: raise asyncio.CancelledError
        case 7: return Reply(**{**usual, "stop_reason": 7, "model": ["m"], "latency_s": float("nan")})

class Odd:
    def __init__(self, experiment):
        self.asked = 0

    async def complete(self, request):
        self.asked += 1
        if self.asked == 1:  # an answer first: five faults in a row before one would end the experiment
            return Reply(completion="fine", stop_reason="end_turn", model="m", usage={})
        return odd(self.asked)
"""


@pytest.mark.parametrize("raised", ["SystemExit(4)", "asyncio.CancelledError"])
async def test_a_metric_that_would_end_the_program_touches_no_other(tmp_path: Path, raised: str) -> None:
    (tmp_path / "ends.py").write_text(
        "import asyncio\n"
        "from profiler import mean\n"
        f"def leave(outcome): raise {raised}\n"
        "metric = mean('leaving', leave, lower=0, upper=1)\n"
    )
    many = [*experiments(tmp_path, "a", metrics=("ends:metric",)), *experiments(tmp_path, "b", "c")]
    ended = await run_all(many, options=options(tmp_path, search_path=tmp_path))
    assert set(states(ended).values()) == {"complete"}
    assert ended[0].result is not None
    assert "ends.py:3" in ended[0].result.summary["metrics"]["leaving"]["error"]


async def test_a_run_that_is_cancelled_from_within_is_not_taken_for_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(runner, "_ended", cancelled)
    ended = await run_all(experiments(tmp_path, "a", "b"), options=options(tmp_path))
    assert states(ended) == {"a": "RuntimeError", "b": "RuntimeError"}


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


async def test_odd_replies_of_one_experiments_client_touch_no_other(tmp_path: Path) -> None:
    """The files of the others are to the byte those that they have without it."""
    (tmp_path / "odd_replies_among_many.py").write_text(ODD)
    plain = experiments(tmp_path, "a", "c", "d", count=20)
    [odd] = experiments(tmp_path, "b", count=20, client="odd_replies_among_many:Odd")
    alone = await run_all(plain, options=options(tmp_path, output_dir=tmp_path / "alone", concurrency=4, mode="mock"))
    ended = await run_all(
        [plain[0], odd, *plain[1:]],
        options=options(tmp_path, concurrency=4, mode="mock", search_path=tmp_path),
    )

    assert states(ended) == dict.fromkeys("abcd", "complete")
    assert all(each.result for each in alone)
    for name in "acd":
        assert files(tmp_path / "runs" / name) == files(tmp_path / "alone" / name)
    records = [json.loads(line) for line in (tmp_path / "runs" / "b" / "responses.jsonl").read_text().splitlines()]
    kinds = Counter(record["type"] for record in records)
    assert (len(records), kinds["answer"] + kinds["error"]) == (20, 20)
    assert kinds["error"] >= 8


async def test_no_more_files_are_open_than_the_system_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three folders fit into what is allowed, where eight would be open otherwise."""
    before = open_files()
    allowed = before + descriptors.SPARE + 3 * descriptors.FILES_OF_A_RUN
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    folders, most = list[int](), list[int]()

    def until(*_: object) -> bool:
        folders.append(len(list((tmp_path / "runs").glob("*/journal.jsonl"))))
        most.append(open_files())
        return True

    many = experiments(tmp_path, *"abcdefghijklmnopqrst", count=3)
    ended = await run_all(many, options=options(tmp_path, concurrency=4), client=Crowd(until=until))

    assert all(each.result for each in ended)
    assert max(folders) <= 3
    assert max(most) - before <= 3 * descriptors.FILES_OF_A_RUN


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_what_is_wrong_before_the_first_call_stops_all(tmp_path: Path) -> None:
    crowd = Crowd()
    many = experiments(tmp_path, "a", "b", "c")
    many[2].dataset_path.write_text("{not json}\n")
    many[1] = Experiment(
        experiment_id="b", model="m", max_tokens=1, dataset_path=many[1].dataset_path, metrics=("nothing",)
    )
    with pytest.raises(UsageError, match="2 of 3 experiments cannot run") as refused:
        await run_all(many, options=options(tmp_path), client=crowd)

    assert "nothing" in str(refused.value)
    assert "c.jsonl" in str(refused.value)
    assert crowd.asked == []


async def test_what_is_wrong_with_many_names_the_first_of_them_once(tmp_path: Path) -> None:
    names = [f"e{number:02}" for number in range(30)]
    many = experiments(tmp_path, *names, model="nobody-knows", max_cost_usd=1.0)
    with pytest.raises(UsageError, match="30 of 30 experiments cannot run") as refused:
        await run_all(many, options=options(tmp_path, mode="live"), client=Crowd())

    assert f"\n{', '.join(names[:20])} and 10 more: found a cap of $1.00" in str(refused.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no token')", r"ValueError: no token \(mine.py:2\)"),
        ("return 3", "made 3, which has no complete"),
    ],
)
async def test_an_own_client_that_cannot_be_made_stops_all(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(f"def make(experiment):\n    {body}\n")
    many = [*experiments(tmp_path, "a", "b"), *experiments(tmp_path, "c", "d", client="mine:make")]
    with pytest.raises(UsageError, match="2 of 4 experiments cannot run") as refused:
        await run_all(many, options=options(tmp_path, mode="mock", search_path=tmp_path))

    assert re.search(f"^c, d: client: 'mine:make' .*{said}", str(refused.value), re.MULTILINE)
    assert not (tmp_path / "runs").exists()


async def test_an_own_client_that_only_tries_it_out_is_closed(tmp_path: Path) -> None:
    (tmp_path / "made_and_closed.py").write_text(
        "open_now = []\n"
        "class Client:\n"
        "    def __init__(self, experiment): open_now.append(self)\n"
        "    async def complete(self, request): raise ValueError\n"
        "    async def aclose(self): open_now.remove(self)\n"
        "def left(experiment): raise ValueError(f'{len(open_now)} open')\n"
    )
    many = experiments(tmp_path, "a", client="made_and_closed:Client")
    many += experiments(tmp_path, "b", client="made_and_closed:left")
    with pytest.raises(UsageError, match=r"b: .* ValueError: 0 open"):
        await run_all(many, options=options(tmp_path, mode="mock", search_path=tmp_path))


@pytest.mark.parametrize("raised", ["RuntimeError('stuck')", "SystemExit(4)", "asyncio.CancelledError"])
async def test_an_own_client_that_cannot_be_closed_touches_no_other(tmp_path: Path, raised: str) -> None:
    (tmp_path / "open_for_ever.py").write_text(
        "import asyncio\n"
        "from profiler import Reply\n"
        "class Client:\n"
        "    def __init__(self, experiment): pass\n"
        "    async def complete(self, request):\n"
        "        return Reply(completion='yes', stop_reason='end_turn', model='m', usage={})\n"
        f"    async def aclose(self): raise {raised}\n"
    )
    many = [*experiments(tmp_path, "a", client="open_for_ever:Client"), *experiments(tmp_path, "b")]
    ended = await run_all(many, options=options(tmp_path, mode="mock", search_path=tmp_path))
    assert states(ended) == {"a": "RuntimeError", "b": "complete"}


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
