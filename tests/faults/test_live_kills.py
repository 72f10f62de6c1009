"""`kill -9` in live mode, at random moments: the server counts what is asked again."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.live import Provider, assert_no_key, live_run, live_site, provider, start
from tests.faults.runs import COMPLETE, Site, dialogues, wait_until, whole_records

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.live import Process

KILLS = 4
COUNT = 300
WORKERS = 24


def killed_in_the_middle(run: Process, paid: Provider, *, at: int) -> bool:
    """Killed once the server has seen so many calls; False when the run ended before."""
    wait_until(run, lambda: paid.calls >= at)
    return run.kill()


def test_no_answered_dialogue_is_asked_again_however_often_the_run_is_killed(tmp_path: Path) -> None:
    moments = random.Random(20261121)
    site = live_site(tmp_path, dialogues(COUNT), concurrency=WORKERS)
    kills, kept, asked_before = 0, set[str](), dict[str, int]()
    with provider(site, latency_s=0.01, latency_sigma=1.0) as paid:
        for number in range(1, KILLS + 1):
            at = paid.calls + moments.randint(1, COUNT // KILLS)
            if not killed_in_the_middle(start(site), paid, at=at):
                break
            kills = number
            asked = paid.asked()
            assert {name for name in kept if asked[name] != asked_before[name]} == set()
            kept, asked_before = site.answered(), asked
        unanswered = set(asked_before) - kept
        last = live_run(site, "--json")
        asked = paid.asked()

    assert kills >= 3
    assert last.code == 0, last
    assert {name for name in kept if asked[name] != asked_before[name]} == set()
    assert {name for name in unanswered if asked[name] != asked_before[name] + 1} == set()
    assert [record["index"] for record in whole_records(site.responses)] == list(range(COUNT))
    assert set(site.results()) == COMPLETE
    # of each worker at most the call in flight and an answer of the last few milliseconds, not yet in the journal
    assert paid.stats["asked"]["after_an_answer"] <= 2 * kills * WORKERS


def test_after_a_kill_the_run_says_what_is_kept_and_what_may_have_been_billed(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(60), concurrency=8, timeout_s=20)
    rules = [{"dialogue_id": f"d{number}", "fault": "hang", "times": 1} for number in range(30, 38)]
    with provider(site, *rules) as paid:
        first = start(site)
        assert wait_until(first, lambda: paid.calls >= 38 and len(site.answered()) == 30)
        assert first.kill()
        again = live_run(site, "--json", "--max-cost", "5")
        asked = paid.asked()

    in_flight = sum(times == 2 for times in asked.values())
    assert again.code == 0, again
    assert in_flight == 8
    assert (
        "resuming: 30 of 60 answers are kept; 8 were in flight, may have been billed, and are asked again" in again.err
    )
    facts = again.json["experiments"][0]["summary"]["run"]
    assert facts["resumed"] == {"kept": 30, "maybe_billed": 8}
    assert facts["maybe_billed_usd"] > 0


def dead_before(site: Site, moment: str) -> None:
    """A run that a kill ends at this very moment, with money that no record of the journal shows."""
    run = start(site, die_before=moment)
    wait_until(run, lambda: False)
    assert run.process.exitcode == -signal.SIGKILL, run.said_in.read_text()


def last_facts(site: Site) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(site.summary.read_bytes())["run"]
    return facts


@pytest.mark.parametrize("moment", ["os.remove /journal.jsonl", "os.remove /ledger.dat"])
def test_a_kill_while_the_run_is_tidied_up_forgets_no_money(tmp_path: Path, moment: str) -> None:
    site = live_site(tmp_path, dialogues(6), retry={"max_attempts": 1, "deadline_s": 60})
    with provider(site, {"dialogue_id": "d3", "fault": "half-body"}) as paid:
        dead_before(site, moment)
        before = last_facts(site)
        again = live_run(site)
        calls = paid.calls

    assert again.code == 0, again
    assert calls == 6
    assert before["maybe_billed_usd"] > 0
    assert last_facts(site)["maybe_billed_usd"] == before["maybe_billed_usd"]
    assert last_facts(site)["spent_usd"] == before["spent_usd"]
    assert set(site.results()) == COMPLETE
    assert_no_key(site, again.said)
