"""What a cap means for a whole run: over many workers, over sessions, after crashes, on the command line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from profiler.core.errors import BudgetReached, UsageError
from profiler.engine.run_money import card_of_run
from profiler.engine.runner import run
from profiler.manifest.settings import Prices
from profiler.money.prices import PICO, dollars
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES
from tests.profiler.engine.paying import WORST, Provider, experiment, options, rows

if TYPE_CHECKING:
    from profiler.engine.progress import Overview

ROOT = Path(__file__).resolve().parents[3]


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


async def test_a_mistyped_model_under_a_cap_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        await run(
            experiment(tmp_path, model="claude-hiaku-4-5", max_cost_usd=1.0),
            options=options(tmp_path),
            client=Provider(),
        )
    assert str(refused.value.hint).startswith("did you mean 'claude-haiku-4-5'? If not, say it in the manifest")


@pytest.mark.parametrize("asked", [{"provider": "bedrock"}, {"client": "mine:Client"}])
def test_a_model_that_has_another_name_elsewhere_is_not_taken_for_mistyped(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    mine = experiment(tmp_path, model="us.anthropic.claude-haiku-4-5-20251001-v1:0", **asked)
    with pytest.raises(UsageError) as refused:
        card_of_run(mine, mode="live", cap_usd=1.0)
    assert str(refused.value.hint).startswith("say it in the manifest: prices: ")


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
