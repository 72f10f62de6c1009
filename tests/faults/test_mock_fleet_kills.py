"""kill -9 of workers and of the coordinator: the end is that of a run by one process, to the byte, and signals reach all."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

from tests.faults.mock_fleet_storm import storm, workers_of
from tests.faults.runs import Site, dialogues, wait_until

LIST = [sys.executable, "-m", "profiler", "list", "runs", "--json"]


def test_kills_of_workers_and_coordinators_at_random_moments_change_nothing(tmp_path: Path) -> None:
    report = storm(tmp_path, kills=10, seed=7)

    assert report.violations == []
    assert report.kills >= 10
    assert report.workers_killed >= 3
    assert report.coordinators_killed >= 1
    assert report.finished >= 1


def test_a_first_signal_lets_calls_end_and_the_same_command_goes_on(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(400), concurrency=8, mock={"latency_s": 0.01})
    assert site.at("one").run_here().code == 0
    process = site.start("--processes", "2")
    assert wait_until(process, lambda: len(site.calls()) > 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, out + err
    assert "SIGINT: waiting for " in err
    assert "stopped by SIGINT; everything answered is kept" in err
    assert f"resume with: profiler run --config {site.manifest}" in err
    assert "--processes 2" in err
    assert len(site.calls()) < 400

    calls, listed = len(site.calls()), site.start(command=LIST)
    (row,) = json.loads(listed.communicate()[0])["runs"]
    assert (row["state"], row["kept"], row["dialogues"]) == ("unfinished", calls, 400)

    again = site.run()  # without the flag: what several have begun goes on as one that several share
    assert again.code == 0, again.said
    assert f"resuming: {calls} of 400 answers are kept" in again.err
    assert len(site.calls()) == 400
    assert site.results() == site.at("one").results()


def test_a_second_signal_ends_the_calls_too(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(40), concurrency=8, mock={"latency_s": 300.0})
    process = site.start("--processes", "2")
    assert wait_until(process, lambda: len(site.calls()) == 8)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert any("waiting for" in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert len(workers) == 2
    assert not any((Path("/proc") / str(worker)).exists() for worker in workers)


def test_workers_join_late_and_leave_early(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(600), concurrency=2, mock={"latency_s": 0.01})
    assert site.at("one").run_here().code == 0
    process = site.start("--processes", "2")
    attempts = site.run_dir / "fleet" / "attempts"
    assert wait_until(process, lambda: len(list(attempts.glob("[0-9]*"))) == 2)  # both are at work
    first = workers_of(process.pid)
    process.send_signal(signal.SIGUSR1)
    assert wait_until(process, lambda: len(workers_of(process.pid)) == 3)
    os.kill(min(first), signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "worker 2 joins" in err
    assert re.search("worker [01] was asked to leave", err)
    assert len(site.calls()) == 600  # nothing was in flight when it left
    assert site.results() == site.at("one").results()


def test_an_error_in_code_that_workers_run_comes_with_its_lines(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(20), client=None)
    site.manifest.write_text(site.manifest.read_text().replace('"max_tokens"', '"client": "own:broken", "max_tokens"'))
    (tmp_path / "own.py").write_text(
        "import sys\n"
        "def broken(experiment):\n"
        "    if 'profiler.fleet.workers.worker' in sys.orig_argv:\n"
        "        raise LookupError('no such table')\n"
        "    return object()\n"
    )
    found = site.run("--processes", "2")
    assert found.code == 2
    assert "failed to make a client: LookupError: no such table" in found.err
    assert 'own.py", line 4, in broken' in found.err
