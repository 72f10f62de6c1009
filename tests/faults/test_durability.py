"""What a power cut may cost: what is durable when, as the calls of the system tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.runs import COMPLETE, Site, dialogues
from tests.faults.test_disk import completes, nothing_torn, one_line, reference


@pytest.fixture
def strace(tmp_path: Path) -> list[str]:
    command = shutil.which("strace")
    if (
        command is None
        or subprocess.run([command, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("strace is not installed or not allowed")
    return [command, "-f", "-y", "-s", "40", "-o", str(tmp_path / "trace")]


def happenings(trace: Path, *names: str) -> list[str]:
    """What was done to which file, in the order in which it ended."""
    found = re.findall(
        r"^\d+ +(write|fdatasync|fsync|pwrite64|unlink|rename)\((?:\d+<)?\"?([^>\",]+)",
        trace.read_text(),
        flags=re.MULTILINE,
    )
    return [f"{call} {Path(path).name}" for call, path in found if Path(path).name in names]


def traced(site: Site, strace: list[str], fsync: str) -> list[str]:
    wrapper = [*strace, "-e", "trace=write,fdatasync,fsync,unlink,rename"]
    assert site.run("--fsync", fsync, wrapper=wrapper).code == 0
    return happenings(Path(strace[strace.index("-o") + 1]), "journal.jsonl", *COMPLETE)


def test_fsync_always_makes_a_record_durable_before_it_counts(tmp_path: Path, strace: list[str]) -> None:
    site = Site(folder=tmp_path).write(dialogues(9), concurrency=1, mock={"latency_s": 0.001})

    seen = [each for each in traced(site, strace, "always") if "journal" in each]

    records = seen[seen.index("write journal.jsonl") + 1 :]
    writes = [number for number, each in enumerate(records) if each == "write journal.jsonl"]
    assert len(writes) > 1
    assert all(records[number + 1] == "fdatasync journal.jsonl" for number in writes)


def test_fsync_always_makes_the_journal_durable_before_anything_stands_on_it(tmp_path: Path, strace: list[str]) -> None:
    seen = traced(Site(folder=tmp_path).write(dialogues(9)), strace, "always")

    assert seen.index("fdatasync journal.jsonl") < seen.index("write requests.jsonl")


@pytest.mark.parametrize("fsync", ["always", "interval"])
def test_the_logs_are_durable_before_the_journal_goes(tmp_path: Path, strace: list[str], fsync: str) -> None:
    site = Site(folder=tmp_path).write(dialogues(9))

    seen = traced(site, strace, fsync)

    gone = seen.index("unlink journal.jsonl")
    for name in ("requests.jsonl", "responses.jsonl"):
        assert f"fdatasync {name}" in seen[:gone]
        assert f"write {name}" not in seen[seen.index(f"fdatasync {name}") :]


def test_an_interrupted_run_is_durable_when_it_ends(tmp_path: Path, strace: list[str]) -> None:
    items = dialogues(9)
    items[8]["do"] = "fatal"
    site = Site(folder=tmp_path).write(items, client="Naughty", concurrency=1, mock={"latency_s": 0.03})

    assert site.run(wrapper=[*strace, "-e", "trace=write,fdatasync"]).code == 3

    assert happenings(tmp_path / "trace", "journal.jsonl")[-1] == "fdatasync journal.jsonl"


def test_fsync_off_never_waits_for_the_device(tmp_path: Path, strace: list[str]) -> None:
    site = Site(folder=tmp_path).write(dialogues(9))

    assert not [each for each in traced(site, strace, "off") if "sync" in each]


@pytest.mark.parametrize("fsync", ["always", "interval"])
def test_an_fsync_that_fails_ends_the_run_and_is_not_tried_again(tmp_path: Path, strace: list[str], fsync: str) -> None:
    site = Site(folder=tmp_path).write(dialogues(40), mock={"latency_s": 0.01}, concurrency=4)
    assert site.at("runs", FAULTS_DIE_BEFORE="open requests.jsonl").run().code == -9  # the first line is on the device

    # slow to fail, so that more answers arrive meanwhile
    inject = ["-e", "inject=fdatasync:error=EIO:delay_enter=60000", "-e", "trace=fdatasync"]
    run = site.run("--fsync", fsync, wrapper=[*strace, *inject])

    assert one_line(run, site.journal, "Input/output error")
    assert len(re.findall(r"fdatasync\(", (tmp_path / "trace").read_text())) == 1
    assert completes(site, reference(site))


def test_a_write_that_is_cut_short_leaves_whole_lines(tmp_path: Path, strace: list[str]) -> None:
    """Only the journal's writes fail: the fifth one, with a device that says so late."""
    site = Site(folder=tmp_path).write(dialogues(40), mock={"latency_s": 0.01}, concurrency=4)
    site.run_dir.mkdir(parents=True)
    inject = ["-P", str(site.journal), "-e", "inject=write:error=EIO:when=5", "-e", "trace=write"]

    run = site.run(wrapper=[*strace, *inject])

    assert one_line(run, site.journal, "Input/output error")
    assert nothing_torn(site)
    assert completes(site, reference(site))
