"""The cap under `kill -9`, with turns, faults and a server that keeps the bill: over all sessions it is never passed, and
it is used."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.live import live_run, live_site, provider, start
from tests.faults.runs import wait_until
from tests.faults.test_live_money import billed_usd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.live import Provider
    from tests.faults.runs import Site

CAP_USD = 0.06
KILLS = 4
WORKERS = 8
COUNT = 120
WORST_USD = 0.0011  # of the longest third turn: about 700 bytes and 64 tokens
FAULTS = {"half-body": 0.05, "reset": 0.05, "500": 0.05, "429-zero": 0.02}


def conversations(count: int) -> list[dict[str, Any]]:
    """Every other one of three turns."""
    three = ["Tell me of the sun. " * 4, "And of the moon?", "Which is older?"]
    return [{"dialogue_id": f"d{i}", **({"turns": three} if i % 2 else {"user": f"Hello {i}"})} for i in range(count)]


def recorded_usd(site: Site) -> float:
    """What the journal alone tells: paid, or maybe."""
    lines = [json.loads(line) for line in site.journal.read_bytes().splitlines() if line.endswith(b"}")]
    return sum((line.get("cost_usd") or 0.0) + (line.get("maybe_usd") or 0.0) for line in lines)


def killed(site: Site, paid: Provider, moments: random.Random) -> bool:
    at = paid.calls + moments.randint(5, 40)
    run = start(site, "--max-cost", f"{CAP_USD}")
    wait_until(run, lambda: paid.calls >= at)
    return run.kill()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_cap_holds_over_kills_and_is_used_all_the_same(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    site = live_site(tmp_path, conversations(COUNT), concurrency=WORKERS, retry={"max_attempts": 3, "deadline_s": 60})
    kills = 0
    with provider(site, faults=FAULTS, latency_s=0.01, latency_sigma=1.0) as paid:
        for _ in range(KILLS):
            if not killed(site, paid, moments):
                break
            kills += 1
            assert billed_usd(paid) <= CAP_USD
        last = live_run(site, "--max-cost", f"{CAP_USD}")
        billed = billed_usd(paid)

    assert kills >= 2
    assert last.code == 4, last
    assert billed <= CAP_USD
    spent, maybe = told_usd(last.err)
    assert billed <= spent + maybe <= CAP_USD
    assert (spent + maybe) / CAP_USD >= 0.9 or CAP_USD - spent - maybe < WORST_USD
    # a kill costs the calls in flight, and what dialogues half-way had cost; not all that they might have asked yet
    assert spent + maybe - recorded_usd(site) <= 1.5 * kills * WORKERS * WORST_USD


def told_usd(said: str) -> tuple[float, float]:
    """From: the cap of $0.05 could be passed: $0.0123 spent, $0.0045 that may have been billed, and …"""
    words = said.partition("could be passed: ")[2].replace("$", "").split()
    return float(words[0]), float(words[2])
