"""Clients that crash, hang, answer nonsense or fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.clients import ANSWERS
from tests.faults.runs import THREE, Ended, Site, dialogues, whole_records

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
    assert set(site.results()) == THREE
    return True


def record(site: Site, dialogue: str) -> dict[str, Any]:
    (found,) = [record for record in whole_records(site.responses) if record["dialogue_id"] == dialogue]
    return found


def test_an_unknown_exception_is_a_crash_that_keeps_what_was_answered(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "crash")

    run = site.run()

    assert run.code == 70
    assert "Traceback" in run.err
    assert "ZeroDivisionError: a bug of the client" in run.err
    assert site.answered() == {f"d{number}" for number in range(5)}
    assert resumes(site, again=[f"d{number}" for number in range(5, 10)])


def test_the_command_that_a_crash_prints_does_not_start_over(tmp_path: Path) -> None:
    run = with_wish(tmp_path, "crash").run("--fresh")

    assert "to resume: profiler run" in run.err
    assert "--fresh" not in run.err.partition("to resume:")[2]


@pytest.mark.parametrize("wish", sorted(ANSWERS))
def test_nonsense_is_a_crash_that_names_the_dialogue(tmp_path: Path, wish: str) -> None:
    site = with_wish(tmp_path, wish, at=2, count=4)

    run = site.run_here()

    assert run.code == 70, run
    assert "the client answered 'd2' with " in run.err
    assert site.answered() == {"d0", "d1"}
    assert resumes(site, again=["d2", "d3"])


def test_a_client_that_cancels_itself_does_not_pass_for_an_answer(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "cancel")

    run = site.run()

    assert run.code == 70, run
    assert not site.summary.exists()
    assert resumes(site, again=[f"d{number}" for number in range(5, 10)])


def test_a_client_that_leaves_the_program_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    site = with_wish(tmp_path, "exit")

    run = site.run()

    assert run.code == 70, run
    assert resumes(site, again=[f"d{number}" for number in range(5, 10)])


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
