"""Whatever a provider sends, end to end: each dialogue ends as its record, and the run ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from profiler.storage import ledger
from tests.faults.live import live_run, live_site, provider
from tests.faults.runs import COMPLETE, PATIENCE_S, dialogues, whole_records

if TYPE_CHECKING:
    from pathlib import Path

QUICK = {"max_attempts": 2, "deadline_s": 60}
# fault: record type, kind and status of its error, calls
ENDS: dict[str, tuple[str, str | None, int | None, int]] = {
    "400": ("error", "invalid_request", 400, 1),
    "404": ("error", "not_found", 404, 1),
    "413": ("error", "request_too_large", 413, 1),
    "422": ("error", "unprocessable", 422, 1),
    "408": ("error", "timeout", 408, 2),
    "409": ("error", "conflict", 409, 2),
    "500": ("error", "server_error", 500, 2),
    "502": ("error", "server_error", 502, 2),
    "503": ("error", "server_error", 503, 2),
    "504": ("error", "server_error", 504, 2),
    "html": ("error", "bad_reply", 200, 2),
    "broken-json": ("error", "bad_reply", 200, 2),
    "empty": ("error", "bad_reply", 200, 2),
    "wrong-json": ("error", "bad_reply", 200, 1),
    "wrong-type": ("answer", None, None, 1),
    "huge": ("answer", None, None, 1),
    "trickle": ("answer", None, None, 1),
    "reset": ("error", "connection", None, 2),
    "close": ("error", "connection", None, 2),
    "half-head": ("error", "connection", None, 2),
    "half-body": ("error", "connection", None, 2),
    "half-reset": ("error", "connection", None, 2),
}


def named(*names: str) -> list[dict[str, Any]]:
    """A dialogue for each fault, behind one that is answered: refusals before any answer end the run."""
    return [{"dialogue_id": name, "user": f"Tell me about {name}."} for name in ("first", *names)]


def rules(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"dialogue_id": name, "fault": name, **more} for name in names]


def ended(record: dict[str, Any]) -> tuple[str, str | None, int | None, int]:
    error = record["error"] or {}
    return record["type"], error.get("type"), error.get("status"), record["attempts"]


def test_every_reply_ends_as_its_record_and_only_what_failed_is_asked_again(tmp_path: Path) -> None:
    site = live_site(tmp_path, named(*ENDS), concurrency=32, retry=QUICK)
    with provider(site, *rules(*ENDS), trickle_s=0.1) as troubled:
        run = live_run(site)
        asked = troubled.asked()

    assert run.code == 0, run
    records = {record["dialogue_id"]: record for record in whole_records(site.responses)}
    assert {name: ended(records[name]) for name in ENDS} == ENDS
    assert asked == {"first": 1} | {name: calls for name, (*_, calls) in ENDS.items()}
    assert len(records["huge"]["completion"]) == 10_000_000
    failed = {name for name, (kind, *_) in ENDS.items() if kind == "error"}

    with provider(site) as mended:
        again = live_run(site, "--retry-failed")

    assert again.code == 0, again
    assert mended.asked() == dict.fromkeys(failed, 1)
    assert all(record["type"] != "error" for record in whole_records(site.responses))
    assert set(site.results()) == COMPLETE


SILENT = ("hang", "half-hang")


def test_what_never_ends_is_ended_by_the_time_out_and_holds_up_nobody(tmp_path: Path) -> None:
    """The last dialogues of all are the silent ones."""
    items = [*dialogues(30), *named(*SILENT)[1:]]
    site = live_site(tmp_path, items, concurrency=4, timeout_s=1, retry=QUICK)
    with provider(site, *rules(*SILENT)) as silent:
        run = live_run(site)
        asked = silent.asked()

    assert run.code == 0, run
    records = whole_records(site.responses)
    assert [ended(record) for record in records[-2:]] == [("error", "timeout", None, 2)] * 2
    assert all(record["type"] != "error" for record in records[:-2])
    assert (asked["hang"], asked["half-hang"]) == (2, 2)


def test_a_slow_trickle_is_not_waited_for_longer_than_a_call_may_take(tmp_path: Path) -> None:
    site = live_site(tmp_path, named("trickle"), timeout_s=0.8, retry=QUICK)
    with provider(site, *rules("trickle"), trickle_s=60):
        run = live_run(site)

    assert run.code == 0, run
    assert ended(whole_records(site.responses)[1]) == ("error", "timeout", None, 2)


def test_a_storm_of_broken_connections_loses_nothing_and_leaves_nothing_open(tmp_path: Path) -> None:
    rates = {"reset": 0.1, "close": 0.1, "half-head": 0.05, "half-body": 0.05, "500": 0.1, "html": 0.05}
    site = live_site(tmp_path, dialogues(150), concurrency=100, retry={"max_attempts": 3, "deadline_s": 60})
    with provider(site, faults=rates) as broken:
        run = live_run(site)
        give_up_at = time.monotonic() + PATIENCE_S
        while (stats := broken.stats)["connections"]["open"] and time.monotonic() < give_up_at:
            pass  # the server hears of a closed connection a moment later

    assert run.code == 0, run
    assert [record["index"] for record in whole_records(site.responses)] == list(range(150))
    assert sum(stats["faults"].values()) > 40
    assert stats["asked"]["after_an_answer"] == 0
    assert (stats["in_flight"], stats["connections"]["open"]) == (0, 0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid"])
def test_an_address_that_nobody_serves_costs_nothing(tmp_path: Path, url: str) -> None:
    site = live_site(tmp_path, dialogues(6), retry={"max_attempts": 1, "deadline_s": 60}, base_url=url)

    run = live_run(site, "--json")

    assert run.code == 3, run
    assert "dialogues in a row got no reply: cannot connect to" in run.err
    left = ledger.read(site.run_dir)
    assert left is not None
    carried = left.settled(lambda _: False)
    assert (carried.spent, carried.maybe) == (0, 0)
