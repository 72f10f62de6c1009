"""What a cap means for a whole run: over many workers, over sessions, after crashes, on the command line."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from profiler.core.errors import BudgetReached, CallError, ProviderFailed, UsageError
from profiler.core.nouns import Reply
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.settings import Experiment, Prices, RateLimits, Retry
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from profiler.money.prices import PICO, cost, dollars
from profiler.provider.requests import Planner, params_of
from profiler.storage import ledger
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES
from tests.profiler.building import dialogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Request
    from profiler.engine.progress import Overview

ROOT = Path(__file__).resolve().parents[3]
CARD = look_up("claude-haiku-4-5", at=datetime.now(UTC))
assert CARD is not None
HAIKU = CARD
WORST = Budget(HAIKU).worst(
    Planner(
        params_of(Experiment(experiment_id="x", model="claude-haiku-4-5", max_tokens=64, dataset_path=Path("d")))
    ).request(10, dialogue(10))
)  # of the longest body there is: a two-digit question
SHARE = 5  # replies cost a fifth of the worst case or so


class Crash(BaseException):
    """What ends a run: an `Exception` of a client would only be the error of its dialogue."""


class Provider:
    """Answers out of order, keeps the bill, and does to some calls what it is told to."""

    def __init__(self, trouble: Callable[[Request], CallError | BaseException | None] = lambda _: None) -> None:
        self.trouble = trouble
        self.calls: Counter[str] = Counter()
        self.billed = 0

    async def complete(self, request: Request) -> Reply:
        self.calls[request.dialogue.dialogue_id] += 1
        for _ in range(request.index % 4):
            await checkpoint()
        usage = {"input_tokens": len(request.body) // SHARE, "output_tokens": 64 // SHARE}
        trouble = self.trouble(request)
        if not (isinstance(trouble, CallError) and trouble.status):
            self.billed += cost(HAIKU, usage) or 0
        if trouble is not None:
            raise trouble
        return Reply(completion="yes", stop_reason="end_turn", model="claude-haiku-4-5", usage=usage)


def experiment(folder: Path, *, count: int = 60, **settings: Any) -> Experiment:
    path = folder / "dialogues.jsonl"
    if not path.exists():
        rows = [{"dialogue_id": f"d{index}", "user": f"question {index}"} for index in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual = {"experiment_id": "paid", "model": "claude-haiku-4-5", "max_tokens": 64, "retry": Retry(max_attempts=1)}
    return Experiment(**{**usual, "dataset_path": path, **settings})


def options(folder: Path, **others: Any) -> Options:
    return Options(**{"output_dir": folder / "runs", "mode": "live", "fsync": "off", **others})


def rows(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "runs" / "paid" / "responses.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def lost(*dialogues: str) -> Callable[[Request], CallError | None]:
    reset = CallError("connection", "reset", retryable=True)
    return lambda asked: reset if asked.dialogue.dialogue_id in dialogues else None


async def test_every_answer_says_what_it_cost_and_the_summary_what_all_did(tmp_path: Path) -> None:
    provider = Provider()
    result = await run(experiment(tmp_path), options=options(tmp_path), client=provider)

    assert sum(round(row["cost_usd"] * PICO) for row in rows(tmp_path)) == provider.billed
    assert result.summary["cost_usd"] == dollars(provider.billed)
    assert result.summary["run"]["spent_usd"] == dollars(provider.billed)
    assert result.summary["run"]["maybe_billed_usd"] == 0
    assert result.summary["run"]["rate_card"]["standard"]["output"] == 5.0
    assert not (result.folder / LEDGER).exists()


@pytest.mark.parametrize(("mode", "own"), [("live", True), ("mock", True), ("mock", False)])
async def test_only_who_may_pay_waits_for_the_device_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, *, own: bool
) -> None:
    """Without its first line a journal would forget whatever else a power cut leaves of a run. What a client of the user's
    own costs nobody knows, in mock mode either."""
    forced: list[str] = []
    really = os.fdatasync

    def fdatasync(fd: int) -> None:
        forced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        really(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    before: list[list[str]] = []
    client = Provider(lambda _: before.append(list(forced))) if own else None

    await run(experiment(tmp_path, count=3), options=options(tmp_path, mode=mode, fsync="interval"), client=client)

    assert before[:1] == ([[JOURNAL]] if own else [])
    assert forced.count(JOURNAL) == (2 if own else 1)
    assert forced[-3:] == [JOURNAL, REQUESTS, RESPONSES]


async def test_the_mock_has_no_cost_and_no_rate_card(tmp_path: Path) -> None:
    mocked = await run(experiment(tmp_path, max_cost_usd=1e-9), options=options(tmp_path, mode="mock"))

    assert mocked.summary["cost_usd"] is None
    assert mocked.summary["run"]["rate_card"] is None
    assert {row["cost_usd"] for row in rows(tmp_path)} == {None}


async def test_a_model_without_a_price_has_an_unknown_cost_and_not_zero(tmp_path: Path) -> None:
    unknown = await run(experiment(tmp_path, model="gpt-6"), options=options(tmp_path), client=Provider())

    assert unknown.summary["cost_usd"] is None
    assert unknown.summary["cost"] == {"known": 0, "unknown": 60}


async def test_a_cap_that_could_not_be_held_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    provider = Provider()
    with pytest.raises(UsageError, match="nobody knows what 'gpt-6' costs") as refused:
        await run(experiment(tmp_path, model="gpt-6", max_cost_usd=1.0), options=options(tmp_path), client=provider)

    assert refused.value.hint is not None
    assert "prices:" in refused.value.hint
    assert not provider.calls
    assert not (tmp_path / "runs").exists()


async def test_a_price_in_the_manifest_makes_a_cap_possible(tmp_path: Path) -> None:
    prices = Prices(input_per_million=1, output_per_million=5)
    mine = experiment(tmp_path, model="gpt-6", max_cost_usd=60 * WORST / PICO, prices=prices)
    result = await run(mine, options=options(tmp_path), client=Provider())

    assert result.summary["run"]["rate_card"]["source"] == "manifest"
    assert result.summary["cost"]["known"] == 60


@pytest.mark.parametrize("workers", [1, 64])
async def test_the_run_stops_before_the_cap_and_not_long_before(tmp_path: Path, workers: int) -> None:
    provider, cap = Provider(), 5 * WORST
    with pytest.raises(BudgetReached, match="could be passed") as stopped:
        await run(
            experiment(tmp_path),
            options=options(tmp_path, concurrency=workers, max_cost_usd=cap / PICO),
            client=provider,
        )

    assert stopped.value.exit_code == 4
    assert cap - WORST < provider.billed <= cap


@pytest.mark.parametrize(("own", "said"), [(2.0, 1.0), (1.0, 2.0), (None, 1.0), (1.0, None)])
async def test_the_smaller_of_its_own_cap_and_that_of_the_options_decides(
    tmp_path: Path, own: float | None, said: float | None
) -> None:
    one = experiment(tmp_path, max_cost_usd=own)
    done = await run(one, options=options(tmp_path, max_cost_usd=said), client=Provider())

    assert done.summary["run"]["max_cost_usd"] == 1.0


async def test_a_cap_of_the_manifest_that_decides_is_raised_there(tmp_path: Path) -> None:
    one = experiment(tmp_path, max_cost_usd=2 * WORST / PICO)
    with pytest.raises(BudgetReached) as stopped:
        await run(one, options=options(tmp_path, max_cost_usd=1.0), client=Provider())

    assert not stopped.value.of_all
    assert "raise max_cost_usd" in str(stopped.value.hint)


async def test_a_higher_cap_goes_on_where_the_lower_one_stopped_and_asks_nobody_twice(tmp_path: Path) -> None:
    provider = Provider()
    for share in (4, 7, 10):
        with pytest.raises(BudgetReached):
            await run(
                experiment(tmp_path),
                options=options(tmp_path, concurrency=64, max_cost_usd=share * WORST / PICO),
                client=provider,
            )
        assert (share - 1) * WORST < provider.billed <= share * WORST
    result = await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=1.0), client=provider)

    assert set(provider.calls.values()) == {1}
    assert len(rows(tmp_path)) == 60
    assert result.summary["run"]["spent_usd"] == dollars(provider.billed)
    assert result.summary["run"]["resumed"]["maybe_billed"] == 0
    assert result.summary["run"]["resumed"]["kept"] > 0


async def test_the_cap_that_is_suggested_is_enough(tmp_path: Path) -> None:
    with pytest.raises(BudgetReached) as stopped:
        await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=4 * WORST / PICO), client=Provider())
    enough = options(tmp_path, max_cost_usd=stopped.value.enough_usd)

    assert (await run(experiment(tmp_path), options=enough, client=Provider())).summary["counts"]["total"] == 60


async def test_a_cap_too_small_for_a_single_call_suggests_one_that_lets_the_run_begin(tmp_path: Path) -> None:
    provider, cap = Provider(), WORST / PICO / 100
    with pytest.raises(BudgetReached) as stopped:
        await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=cap), client=provider)
    assert not provider.calls
    assert stopped.value.enough_usd is not None
    with pytest.raises(BudgetReached):
        await run(
            experiment(tmp_path), options=options(tmp_path, max_cost_usd=stopped.value.enough_usd), client=provider
        )

    assert provider.calls


async def test_calls_that_went_silent_count_against_the_cap(tmp_path: Path) -> None:
    silent = Provider(lost(*(f"d{index}" for index in range(60))))
    with pytest.raises(BudgetReached, match="may have been billed"):
        await run(
            experiment(tmp_path), options=options(tmp_path, concurrency=8, max_cost_usd=5 * WORST / PICO), client=silent
        )

    assert silent.calls.total() == 5


async def test_a_silent_failure_has_an_unknown_cost_and_a_refused_one_cost_nothing(tmp_path: Path) -> None:
    def trouble(asked: Request) -> CallError | None:
        if asked.index == 3:
            return CallError("invalid_request", "no", status=400)
        return lost("d2")(asked)

    provider = Provider(trouble)
    result = await run(experiment(tmp_path), options=options(tmp_path), client=provider)
    costs = {row["dialogue_id"]: row["cost_usd"] for row in rows(tmp_path)}

    assert (costs["d2"], costs["d3"]) == (None, 0.0)
    assert result.summary["run"]["maybe_billed_usd"] == pytest.approx(WORST / PICO, rel=0.02)
    spent = result.summary["run"]["spent_usd"]
    assert dollars(provider.billed) <= spent + result.summary["run"]["maybe_billed_usd"]


async def test_a_call_that_ran_out_of_time_may_have_been_billed(tmp_path: Path) -> None:
    class Mute:
        async def complete(self, request: Request) -> Reply:
            await anyio.sleep_forever()
            raise AssertionError("nobody wakes it")

    few = experiment(tmp_path, count=3, timeout_s=0.05)
    result = await run(few, options=options(tmp_path), client=Mute())

    assert result.summary["counts"]["errors"] == {"timeout": 3}
    assert result.summary["run"]["maybe_billed_usd"] == pytest.approx(3 * WORST / PICO, rel=0.02)


async def test_calls_that_never_left_the_gate_were_not_billed(tmp_path: Path) -> None:
    class Closed:
        async def complete(self, request: Request) -> Reply:
            await checkpoint()
            raise CallError("authentication", "no", status=401, fatal=True)

    slow = experiment(tmp_path, rate_limits=RateLimits(requests_per_minute=2))
    with pytest.raises(ProviderFailed):
        await run(slow, options=options(tmp_path, concurrency=16), client=Closed())

    left = ledger.read(tmp_path / "runs" / "paid")
    assert left is not None
    assert left.underway == ()
    assert left.carried == ledger.Carried()


async def test_silent_failures_of_earlier_sessions_still_count(tmp_path: Path) -> None:
    silent = Provider(lost(*(f"d{index}" for index in range(4))))
    with pytest.raises(BudgetReached):
        await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=5 * WORST / PICO), client=silent)
    provider = Provider()
    with pytest.raises(BudgetReached):
        await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=6 * WORST / PICO), client=provider)

    assert silent.billed + provider.billed <= 6 * WORST
    assert provider.calls.total() <= 2 * SHARE


async def test_asking_failed_dialogues_again_counts_what_they_may_have_cost_before(tmp_path: Path) -> None:
    first = await run(experiment(tmp_path), options=options(tmp_path), client=Provider(lost("d7", "d8")))
    maybe = first.summary["run"]["maybe_billed_usd"]
    again = await run(experiment(tmp_path), options=options(tmp_path, retry_failed=True), client=Provider())

    assert maybe > 0
    assert again.summary["run"]["maybe_billed_usd"] == pytest.approx(maybe)
    assert again.summary["run"]["spent_usd"] == again.summary["cost_usd"]
    assert again.summary["cost"] == {"known": 60, "unknown": 0}


async def test_what_a_crash_left_in_flight_counts_with_the_most_it_can_have_cost(tmp_path: Path) -> None:
    def crash(asked: Request) -> BaseException | None:
        return Crash("a bug") if asked.index == 40 else None

    broken = Provider(crash)
    with pytest.raises(Crash, match="a bug"):
        await run(experiment(tmp_path), options=options(tmp_path, concurrency=8), client=broken)
    asked = len((tmp_path / "runs" / "paid" / "requests.jsonl").read_bytes().splitlines())
    told: list[str] = []
    result = await run(experiment(tmp_path), options=options(tmp_path), client=Provider(), note=told.append)
    facts = result.summary["run"]

    assert facts["resumed"]["maybe_billed"] > 0
    assert facts["resumed"]["kept"] + facts["resumed"]["maybe_billed"] == asked
    assert facts["maybe_billed_usd"] == pytest.approx(facts["resumed"]["maybe_billed"] * WORST / PICO, rel=0.02)
    assert dollars(broken.billed) <= facts["spent_usd"] + facts["maybe_billed_usd"]
    assert any("were in flight, may have been billed, and are asked again" in line for line in told)


async def test_of_what_was_in_flight_the_one_call_counts_and_not_what_might_have_followed(tmp_path: Path) -> None:
    def crash(asked: Request) -> BaseException | None:
        return Crash("a bug")

    patient = experiment(tmp_path, retry=Retry(max_attempts=3))
    with pytest.raises(Crash):
        await run(patient, options=options(tmp_path, concurrency=1), client=Provider(crash))
    provider = Provider()
    with pytest.raises(BudgetReached, match="may have been billed"):
        await run(patient, options=options(tmp_path, max_cost_usd=1.9 * WORST / PICO), client=provider)
    assert not provider.calls
    with pytest.raises(BudgetReached):
        await run(patient, options=options(tmp_path, max_cost_usd=3 * WORST / PICO), client=provider)
    assert provider.calls


async def test_a_turn_that_was_paid_counts_though_its_dialogue_failed_later(tmp_path: Path) -> None:
    talk = {"dialogue_id": "talk", "turns": ["one", "two"]}
    (tmp_path / "dialogues.jsonl").write_text(json.dumps(talk) + "\n")

    def second(asked: Request) -> CallError | None:
        return CallError("invalid_request", "no", status=400) if asked.turn else None

    provider = Provider(second)
    await run(experiment(tmp_path), options=options(tmp_path), client=provider)
    [row] = rows(tmp_path)

    assert row["type"] == "error"
    assert round(row["cost_usd"] * PICO) == provider.billed > 0


async def test_the_onlooker_sees_what_was_spent_and_what_it_will_come_to(tmp_path: Path) -> None:
    seen: list[Overview] = []

    async def watch(view: Overview) -> None:
        seen.append(view)
        await anyio.sleep_forever()

    provider = Provider()
    await run(experiment(tmp_path), options=options(tmp_path), client=provider, watch=watch)
    look = seen[0].look()

    assert look.cost_usd == dollars(provider.billed)
    assert look.projected_usd == pytest.approx(look.cost_usd)
    assert look.money is not None
    assert "spent, about $" in look.money


CLIENT = """
from profiler.core.nouns import Reply

class Client:
    async def complete(self, request):
        usage = {"input_tokens": 10, "output_tokens": 20}
        return Reply(completion="yes", stop_reason="end_turn", model="m", usage=usage)

def make(experiment):
    return Client()
"""


def profiler(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "profiler", *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_stops_with_4_and_names_the_command_that_goes_on(tmp_path: Path) -> None:
    experiment(tmp_path)
    (tmp_path / "paid_client.py").write_text(CLIENT)
    config = tmp_path / "m.yaml"
    config.write_text(
        "experiment_id: paid\nmodel: claude-haiku-4-5\nmax_tokens: 64\n"
        "dataset_path: dialogues.jsonl\nclient: paid_client:make\n"
    )
    words = ("run", "--config", str(config), "--output-dir", str(tmp_path / "runs"), "--mode", "live", "--quiet")
    stopped = profiler(tmp_path, *words, "--max-cost=0.002")

    assert stopped.returncode == 4, stopped.stderr
    assert "error: the cap of $0.0020 could be passed" in stopped.stderr
    command = stopped.stderr.partition("resume with: ")[2].strip()
    program, *again = shlex.split(command)
    assert program == "profiler"
    assert "--max-cost=0.002" not in again
    resumed = profiler(tmp_path, *again)
    assert resumed.returncode == 0, resumed.stderr
    assert len(rows(tmp_path)) == 60


@pytest.mark.parametrize("amount", ["0", "-1", "much", "inf", "nan"])
def test_a_cap_is_a_number_above_0(tmp_path: Path, amount: str) -> None:
    wrong = profiler(tmp_path, "run", "--config", "m.yaml", f"--max-cost={amount}")

    assert wrong.returncode == 2
    assert "expected a number above 0" in wrong.stderr
