"""Clients that crash, hang, answer nonsense or fail."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from profiler.cli.main import main
from tests.faults.clients import NO_REPLY, ODD_FAILURES, ODD_REPLIES
from tests.faults.runs import COMPLETE, Ended, Site, dialogues, whole_records

RETRY = {"max_attempts": 2, "deadline_s": 30}


def with_wish(folder: Path, wish: str, *, at: int = 5, count: int = 10, **settings: Any) -> Site:
    items = dialogues(count)
    items[at]["do"] = wish
    return Site(folder=folder).write(items, client="Naughty", **{"concurrency": 1, "retry": RETRY, **settings})


def resumes(site: Site, *, again: list[str]) -> bool:
    """Whether the same command, with a client that has been mended, asks only what is owed and completes."""
    before = len(site.calls())
    run = site.at(site.runs, FAULTS_HEALED="1").run_here()
    assert run.code == 0, run
    assert site.calls()[before:] == again
    assert set(site.results()) == COMPLETE
    return True


def record(site: Site, dialogue: str) -> dict[str, Any]:
    (found,) = [record for record in whole_records(site.responses) if record["dialogue_id"] == dialogue]
    return found


FAULTS = {
    "crash": r"ZeroDivisionError: a bug of the client \(clients\.py:\d+\)",
    "exit": r"SystemExit: 0 \(clients\.py:\d+\)",
    "cancel": r"CancelledError \(clients\.py:\d+\)",
}


@pytest.mark.parametrize("wish", FAULTS)
def test_a_fault_of_the_client_is_the_error_of_its_dialogue_and_told_with_its_own_lines(
    tmp_path: Path, wish: str
) -> None:
    site = with_wish(tmp_path, wish)

    run = site.run_here()

    assert run.code == 0, run
    found = record(site, "d5")
    assert (found["type"], found["error"]["type"], found["attempts"]) == ("error", "client_fault", 1)
    assert re.search(FAULTS[wish], found["error"]["message"])
    assert run.err.count("d5: the client failed: ") == 1
    assert re.search(rf"d5: the client failed: {FAULTS[wish]}", run.err)
    assert "/profiler/" not in run.err  # no line of ours between theirs
    assert run.err.count("clients.py") > 1  # theirs
    again = site.at(site.runs, FAULTS_HEALED="1").run_here("--retry-failed")
    assert again.code == 0, again
    assert site.calls()[10:] == ["d5"]


def test_a_client_that_answers_nobody_is_not_asked_everything(tmp_path: Path) -> None:
    items = dialogues(50)
    for item in items:
        item["do"] = "crash"
    site = Site(folder=tmp_path).write(items, client="Naughty", concurrency=1)

    run = site.run_here()

    assert told_without_traceback(run)
    assert run.code == 3
    assert "all of the first 5 calls failed so: the client failed: ZeroDivisionError" in run.err
    assert len(site.calls()) == 5


def test_the_command_that_is_printed_to_resume_does_not_start_over(tmp_path: Path) -> None:
    run = with_wish(tmp_path, "fatal").run_here("--fresh")

    assert "resume with: profiler run" in run.err
    assert "--fresh" not in run.err.partition("resume with:")[2]


@pytest.mark.parametrize("wish", [*NO_REPLY, *ODD_REPLIES])
def test_what_a_client_answers_never_keeps_a_run_from_its_end(tmp_path: Path, wish: str) -> None:
    site = with_wish(tmp_path, wish, at=2, count=4)

    run = site.run_here()

    assert run.code == 0, run
    assert "Traceback" not in run.said
    assert set(site.results()) == COMPLETE
    found = record(site, "d2")
    if wish in NO_REPLY:
        assert (found["type"], found["error"]["type"]) == ("error", "bad_reply")
        assert "the client answered 'd2' with " in found["error"]["message"]
    else:
        assert (found["type"], found["error"]) == ("answer", None)
        assert run.err.count("d2: ") == 1
    assert main(["summarize", "--log-dir", str(site.run_dir), "--recompute", "--json"]) == 0


@pytest.mark.parametrize("wish", ODD_FAILURES)
def test_whatever_a_client_says_of_a_failure_its_dialogue_ends_as_an_error(tmp_path: Path, wish: str) -> None:
    site = with_wish(tmp_path, wish, at=2, count=4)

    run = site.run_here()

    assert run.code == 0, run
    assert "Traceback" not in run.said
    error = record(site, "d2")["error"]
    assert all(type(error[name]) is str and error[name].isprintable() for name in ("type", "message"))
    assert error["status"] is None or 100 <= error["status"] <= 599
    assert {each["dialogue_id"] for each in whole_records(site.responses)} == {"d0", "d1", "d2", "d3"}
    assert main(["summarize", "--log-dir", str(site.run_dir), "--recompute", "--json"]) == 0


def test_a_hanging_client_times_out_and_is_tried_as_often_as_asked(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "hang", timeout_s=0.1)

    assert site.run_here().code == 0

    found = record(site, "d5")
    assert found["type"] == "error"
    assert found["error"]["type"] == "timeout"
    assert found["attempts"] == 2
    assert site.calls().count("d5") == 2
    assert [each["index"] for each in whole_records(site.responses)] == list(range(10))


def test_a_hanging_dialogue_does_not_hold_up_the_others(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "hang", at=0, concurrency=2, timeout_s=0.3, retry={"max_attempts": 1, "deadline_s": 30})

    assert site.run_here().code == 0
    assert [each["dialogue_id"] for each in whole_records(site.responses)] == [f"d{number}" for number in range(10)]
    assert site.calls()[:2] == ["d0", "d1"]


def test_calls_that_end_with_their_deadline_do_not_raise_the_concurrency(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(
        dialogues(40), client="Punctual", concurrency=4, timeout_s=0.05, retry={"max_attempts": 3, "deadline_s": 60}
    )

    run = site.run_here()

    assert run.code == 0, run
    assert {record["type"] for record in whole_records(site.responses)} == {"answer"}


def test_a_failure_is_a_record_in_its_place(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "fail")

    assert site.run_here().code == 0

    found = whole_records(site.responses)[5]
    assert (found["dialogue_id"], found["type"], found["attempts"]) == ("d5", "error", 1)
    assert found["error"] == {
        "type": "invalid_request",
        "message": "no such thing",
        "status": 400,
        "request_id": "req_1",
    }
    assert json.loads(site.summary.read_bytes())["completion_rate"] == 0.9


def test_a_passing_failure_is_tried_again(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "fail_once")

    assert site.run_here().code == 0
    assert (record(site, "d5")["type"], record(site, "d5")["attempts"]) == ("answer", 2)


def test_a_lasting_failure_is_given_up_after_the_attempts(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "fail_always")

    assert site.run_here().code == 0
    assert (record(site, "d5")["error"]["type"], record(site, "d5")["attempts"]) == ("overloaded", 2)
    assert site.calls().count("d5") == 2


def test_a_fatal_failure_stops_the_run_and_can_be_resumed(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "fatal")

    run = site.run_here()

    assert told_without_traceback(run)
    assert run.code == 3
    assert "the key is not allowed" in run.err
    assert "resume with: profiler run" in run.err
    assert site.calls() == [f"d{number}" for number in range(6)]
    assert resumes(site, again=[f"d{number}" for number in range(5, 10)])


def told_without_traceback(run: Ended) -> bool:
    return "Traceback" not in run.said and "error: " in run.err
