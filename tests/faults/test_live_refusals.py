"""A provider that pushes back, refuses to go on, or asks for the impossible, end to end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.live import live_run, live_site, provider
from tests.faults.runs import COMPLETE, dialogues, whole_records

if TYPE_CHECKING:
    from pathlib import Path

A_HANDFUL = 16  # the calls that a run begins with, and those that leave while the first ones come back

WAYS_TO_ASK: dict[str, dict[str, Any]] = {
    "nothing": {"fault": "429-none"},
    "zero": {"fault": "429-zero"},
    "negative": {"fault": "429-negative"},
    "a moment": {"fault": "429", "retry_after": "0.2"},
    "a word": {"fault": "429-text"},
    "a date gone by": {"fault": "429-past"},
    "a date ahead": {"fault": "429-date"},
    "ramp slowly": {"fault": "429-ramp", "retry_after": "0.1"},
    "overloaded": {"fault": "529"},
}


def test_however_a_provider_asks_for_a_pause_everybody_is_answered_in_the_end(tmp_path: Path) -> None:
    items = [{"dialogue_id": name, "user": f"Tell me about {name}."} for name in WAYS_TO_ASK]
    site = live_site(tmp_path, [*items, *dialogues(20)])
    rules = [{"dialogue_id": name, "times": 1, **fault} for name, fault in WAYS_TO_ASK.items()]
    with provider(site, *rules) as pushing:
        run = live_run(site, "--json")
        asked = pushing.asked()

    assert run.code == 0, run
    assert {name: asked[name] for name in WAYS_TO_ASK} == dict.fromkeys(WAYS_TO_ASK, 2)
    assert "error" not in {record["type"] for record in whole_records(site.responses)}
    (summary,) = [each["summary"] for each in run.json["experiments"]]
    bound_by = summary["run"]["bound_by"]
    assert bound_by["push_backs"] == {"overloaded": 1, "rate_limited": len(WAYS_TO_ASK) - 1}
    assert bound_by["most"].startswith(("retry-after ", "cool down ", "learned rate "))


@pytest.mark.long
def test_a_storm_of_refusals_by_chance_ends_with_every_answer(tmp_path: Path) -> None:
    rates = {"429-zero": 0.15, "429-past": 0.1, "429-negative": 0.1, "429-none": 0.01, "529": 0.01}
    site = live_site(tmp_path, dialogues(60), concurrency=40)
    with provider(site, faults=rates) as stormy:
        run = live_run(site)
        stats = stormy.stats

    assert run.code == 0, run
    assert "error" not in {record["type"] for record in whole_records(site.responses)}
    assert sum(stats["faults"].values()) > 10
    assert stats["asked"]["after_an_answer"] == 0


def test_an_absurd_pause_hangs_neither_the_run_nor_its_last_items(tmp_path: Path) -> None:
    """A thousand million seconds, asked of one in the middle and of the last one."""
    site = live_site(tmp_path, dialogues(12), concurrency=1, retry={"deadline_s": 1.5})
    absurd = {"fault": "429", "retry_after": "1000000000", "times": 1}
    with provider(site, {"dialogue_id": "d5", **absurd}, {"dialogue_id": "d11", **absurd}) as asking:
        began = time.monotonic()
        run = live_run(site)
        took_s = time.monotonic() - began
        asked = asking.asked()

    assert run.code == 0, run
    assert took_s < 20
    failed = {
        record["dialogue_id"]: record["error"]["type"] for record in whole_records(site.responses) if record["error"]
    }
    assert failed == {"d5": "rate_limited", "d11": "rate_limited"}
    assert asked == dict.fromkeys((f"d{number}" for number in range(12)), 1)


@pytest.mark.parametrize("fault", ["429-absurd", "401", "402", "403", "429-spend-limit", "429-contract-limit", "400"])
def test_a_provider_that_takes_nothing_ends_the_run_after_a_handful_of_calls(tmp_path: Path, fault: str) -> None:
    site = live_site(tmp_path, dialogues(300), concurrency=64)
    with provider(site, faults={fault: 1.0}) as closed:
        run = live_run(site)
        calls = closed.calls

    assert run.code == 3, run
    assert 1 <= calls <= A_HANDFUL
    assert "resume with: profiler run" in run.err
    assert "Traceback" not in run.said
    assert site.journal.exists()

    with provider(site) as mended:
        again = live_run(site, "--retry-failed")

    assert again.code == 0, again
    assert mended.stats["asked"]["distinct"] == mended.calls == 300
    assert set(site.results()) == COMPLETE


@pytest.mark.parametrize("fault", ["429-spend-limit", "429-contract-limit"])
def test_a_spend_limit_in_the_middle_ends_the_run_and_the_same_command_goes_on(tmp_path: Path, fault: str) -> None:
    site = live_site(tmp_path, dialogues(60), concurrency=4)
    with provider(site, {"fault": "ok", "times": 30}, fault) as limited:
        run = live_run(site)
        kept = site.answered()

        assert run.code == 3, run
        assert 25 <= len(kept) <= 40
        assert limited.calls <= len(kept) + 1

        again = live_run(site)
        stats = limited.stats

    assert again.code == 0, again
    assert f"resuming: {len(kept)} of 60 answers are kept" in again.err
    assert stats["asked"]["after_an_answer"] == 0
    assert "error" not in {record["type"] for record in whole_records(site.responses)}
    assert len(whole_records(site.responses)) == 60


def test_a_provider_that_is_down_costs_no_dialogue_and_the_same_command_goes_on(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(3), retry={"max_attempts": 2})
    with provider(site):
        pass  # its address stays, and nobody listens there any more
    run = live_run(site)

    assert run.code == 3, run
    assert "does not answer" in run.err
    assert "Connection refused" in run.err
    assert "base_url" in run.err
    assert "resume with: profiler run" in run.err
    assert whole_records(site.responses) == []

    with provider(site) as up:
        again = live_run(site)

    assert again.code == 0, again
    assert up.calls == 3
    assert "error" not in {record["type"] for record in whole_records(site.responses)}


def test_an_outage_shorter_than_the_deadline_costs_no_dialogue(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(60), concurrency=8, retry={"max_attempts": 2})
    with provider(site, {"fault": "ok", "times": 20}, {"fault": "503", "times": 14}) as weak:
        run = live_run(site)
        calls = weak.calls

    assert run.code == 0, run
    assert calls == 60 + 14
    assert "error" not in {record["type"] for record in whole_records(site.responses)}


def test_what_is_refused_again_with_retry_failed_does_not_stop_a_run_that_had_answers(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(20), concurrency=2)
    refused = [{"dialogue_id": f"d{number}", "fault": "400"} for number in range(5, 15)]
    with provider(site, *refused) as strict:
        first = live_run(site)
        again = live_run(site, "--retry-failed")
        asked = strict.asked()

    assert (first.code, again.code) == (0, 0), again
    assert {asked[f"d{number}"] for number in range(5, 15)} == {2}
    assert sum(record["type"] == "error" for record in whole_records(site.responses)) == 10
