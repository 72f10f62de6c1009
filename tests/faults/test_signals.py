"""Signals, and two runs that want the same directory."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.runs import COMPLETE, Ended, Site, dialogues, ended, kill, refused, wait_until, whole_records

SLOW: dict[str, Any] = {"concurrency": 4, "mock": {"latency_s": 0.4}}


def in_flight(site: Site, calls: int = 4) -> bool:
    return len(site.calls()) >= calls


def resume_command(run: Ended) -> list[str]:
    line = next(line for line in run.err.splitlines() if "resume with: " in line)
    program, *words = shlex.split(line.partition("resume with: ")[2])
    assert program == "profiler"
    return [sys.executable, "-m", program, *words]


def resumed_as_told(site: Site, run: Ended) -> Ended:
    again = Site(folder=site.folder, runs=site.runs, experiment_id=site.experiment_id, environ={"FAULTS_HEALED": "1"})
    return ended(again.start(command=resume_command(run)))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_calls_in_flight_end_and_keeps_their_answers(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    site = Site(folder=tmp_path).write(dialogues(12), **SLOW)
    process = site.start()
    assert wait_until(process, lambda: in_flight(site))

    process.send_signal(signum)
    run = ended(process)

    assert run.code == code
    assert "Traceback" not in run.said
    assert site.answered() == set(site.calls())
    assert 4 <= len(site.calls()) < 12


def test_the_command_that_an_interrupted_run_prints_completes_it(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(12), **SLOW)
    process = site.start("--quiet", "--fresh")
    assert wait_until(process, lambda: in_flight(site))
    process.send_signal(signal.SIGINT)
    run = ended(process)

    again = resumed_as_told(site, run)

    assert again.code == 0, again
    assert sorted(site.calls()) == sorted(f"d{number}" for number in range(12))
    assert set(site.results()) == COMPLETE


def test_a_second_signal_does_not_wait_for_a_client_that_hangs(tmp_path: Path) -> None:
    items = dialogues(6)
    items[2]["do"] = "hang"
    site = Site(folder=tmp_path).write(items, client="Naughty", concurrency=2)
    process = site.start()
    assert wait_until(process, lambda: len(site.answered()) == 5)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any("SIGINT: waiting for 1 calls in flight; Ctrl-C again" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    run = ended(process)

    assert run.code == 130
    assert "Traceback" not in run.said
    assert site.answered() == {"d0", "d1", "d3", "d4", "d5"}
    assert resumed_as_told(site, run).code == 0
    assert [record["dialogue_id"] for record in whole_records(site.responses)] == [f"d{number}" for number in range(6)]


def test_one_signal_waits_for_a_client_that_hangs_only_until_its_timeout(tmp_path: Path) -> None:
    items = dialogues(6)
    items[2]["do"] = "hang"
    site = Site(folder=tmp_path).write(
        items, client="Naughty", concurrency=2, timeout_s=0.5, retry={"max_attempts": 1, "deadline_s": 5}
    )
    process = site.start()
    assert wait_until(process, lambda: len(site.answered()) >= 1)
    process.send_signal(signal.SIGINT)

    assert ended(process).code == 130


def test_an_interrupt_before_the_first_call_leaves_a_run_that_can_be_begun(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(20_000), client=None)
    process = site.start()
    assert wait_until(process, site.run_dir.exists)
    process.send_signal(signal.SIGINT)
    run = ended(process)

    assert run.code == 130
    assert "Traceback" not in run.said
    assert resumed_as_told(site, run).code == 0


def test_a_second_run_on_one_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(12), **SLOW)
    process = site.start()
    assert wait_until(process, lambda: in_flight(site))
    process.send_signal(signal.SIGSTOP)

    assert refused(site.run(), str(site.run_dir), "another run is writing here", "hint:", "--output-dir")
    assert refused(site.run("--fresh"), "another run is writing here")

    process.send_signal(signal.SIGCONT)
    assert ended(process).code == 0
    assert set(site.results()) == COMPLETE
    assert len(site.calls()) == 12


def test_the_lock_of_a_killed_run_is_gone(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(12), **SLOW)
    process = site.start()
    assert wait_until(process, lambda: in_flight(site))
    assert kill(process)

    assert site.run_here().code == 0


def test_a_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(3))
    assert site.run_here().code == 0

    again = site.run_here("--json")

    assert again.code == 0
    assert json.loads(again.out)["experiments"][0]["answered_now"] == 0
