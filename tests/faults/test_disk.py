"""Disks that are full, read-only or fail: one clear line, nothing torn, and the same command goes on afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.live import live_site, provider
from tests.faults.runs import Ended, Site, dialogues, differing, refused, whole_lines, whole_records

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_A_NEW_PROCESS = "import os, sys; {first}; os.execv(sys.argv[1], sys.argv[1:])"
NO_ROOM = "fix that|make room"


def wrapped(first: str) -> list[str]:
    """Do something to a process before it becomes the run."""
    return [sys.executable, "-ISc", IN_A_NEW_PROCESS.format(first=first)]


def largest_file(size: int) -> list[str]:
    return wrapped(f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))")


def without_override() -> list[str]:
    """Root is not stopped by permissions, unless it gives up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    if os.geteuid() != 0:
        return []
    drop = "import ctypes; drop = ctypes.CDLL(None).prctl; any(drop(24, each, 0, 0, 0) for each in (1, 2)) and sys.exit(99)"
    if sys.platform != "linux" or subprocess.run([*wrapped(drop), "/bin/true"], check=False).returncode:
        pytest.skip("root that cannot give up its rights writes everywhere")
    return wrapped(drop)


def one_line(run: Ended, path: Path, reason: str) -> bool:
    """Whether the error is one line that names the file and the reason, with a hint behind it."""
    assert refused(run, f"error: {path}: cannot write: {reason}\nhint: ")
    assert run.err.count("error: ") == 1
    return True


def nothing_torn(site: Site) -> bool:
    for path in site.run_dir.iterdir():
        if path.suffix == ".jsonl":
            assert path.read_bytes() == b"".join(whole_lines(path)), f"{path} ends in a torn line"
            assert all(json.loads(line) for line in whole_lines(path))
    return True


def completes(site: Site, expected: dict[str, bytes]) -> bool:
    """Whether the same command, now with room, ends as if nothing had happened, without asking anything twice."""
    kept, before = site.answered(), len(site.calls())
    run = site.run_here()
    assert run.code == 0, run
    assert not kept.intersection(site.calls()[before:])
    assert list(differing(site.results(), expected)) == []
    return True


def reference(site: Site) -> dict[str, bytes]:
    undisturbed = site.at("reference")
    assert undisturbed.run_here().code == 0
    return undisturbed.results()


def test_no_room_for_the_requests(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(80, system="long " * 500), concurrency=8)

    run = site.run(wrapper=largest_file(60_000))

    assert one_line(run, site.requests, "File too large")
    assert nothing_torn(site)
    assert completes(site, reference(site))


def test_no_room_for_the_journal(tmp_path: Path) -> None:
    answers = {f"d{number}": {"completion": "sun " * 600} for number in range(80)}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    site = Site(folder=tmp_path).write(dialogues(80), concurrency=8, mock={"responses_path": "answers.json"})

    run = site.run(wrapper=largest_file(60_000))

    assert one_line(run, site.journal, "File too large")
    assert nothing_torn(site)
    assert 0 < len(site.answered()) < 80
    assert completes(site, reference(site))


def all_answered(folder: Path) -> Site:
    """A run that died with every answer in the journal, but only some in responses.jsonl."""
    site = Site(folder=folder).write(dialogues(300))
    assert site.at("runs", FAULTS_DIE_BEFORE="os.rename summary.json").run().code == -9
    site.responses.write_bytes(b"".join(whole_lines(site.responses)[:200]))
    return site


def test_no_room_for_the_responses(tmp_path: Path) -> None:
    site = all_answered(tmp_path)
    size = site.responses.stat().st_size

    run = site.run(wrapper=largest_file(size + 1000))

    assert one_line(run, site.responses, "File too large")
    assert nothing_torn(site)
    assert size < site.responses.stat().st_size <= size + 1000
    assert completes(site, reference(site))


def test_no_room_for_the_order_of_what_is_late(tmp_path: Path) -> None:
    site = all_answered(tmp_path)

    run = site.run(wrapper=largest_file(100))

    assert one_line(run, site.run_dir, "File too large")
    assert nothing_torn(site)
    assert completes(site, reference(site))


def test_no_room_for_the_summary(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(2))

    run = site.run(wrapper=largest_file(2200))

    assert one_line(run, site.summary, "File too large")
    assert {path.name for path in site.run_dir.iterdir()} == {
        "journal.jsonl",
        "requests.jsonl",
        "responses.jsonl",
        "scores.jsonl",
    }
    assert completes(site, reference(site))


def test_no_room_to_reopen_a_finished_run_leaves_it_finished(tmp_path: Path) -> None:
    items = dialogues(60)
    items[7]["do"] = "fail"
    site = Site(folder=tmp_path).write(items, client="Naughty")
    assert site.run_here().code == 0
    before = site.results()

    run = site.run("--retry-failed", wrapper=largest_file(5000))

    assert one_line(run, site.run_dir / ".journal.jsonl.tmp", "File too large")
    assert site.run_here().code == 0
    assert site.results() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("only root can mount a small disk, where mounting is allowed")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    site = Site(folder=tmp_path, runs=small_disk.name).write(dialogues(400), concurrency=8, mock={"latency_s": 0.002})

    run = site.run()

    assert refused(run, "cannot write: No space left on device\nhint: ", "make room")
    assert run.err.count("error: ") == 1
    assert nothing_torn(site)
    assert site.answered()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert completes(site, reference(site))


def test_a_full_disk_in_a_live_run_with_more_in_flight_than_the_ledger_has_places_for(
    tmp_path: Path, small_disk: Path
) -> None:
    site = replace(live_site(tmp_path, dialogues(600), concurrency=600), runs=small_disk.name)
    with provider(site, latency_s=0.3) as paid:
        run = site.run()

        assert refused(run, "cannot write: No space left on device\nhint: ", "make room")
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        kept = site.answered()
        assert site.run().code == 0
        assert all(paid.asked()[name] == 1 for name in kept)
    records = whole_records(site.responses)
    assert [record["index"] for record in records] == list(range(600))
    assert "error" not in {record["type"] for record in records}


def test_a_complete_run_on_a_disk_that_became_read_only(tmp_path: Path, small_disk: Path) -> None:
    site = Site(folder=tmp_path, runs=small_disk.name).write(dialogues(3))
    assert site.run().code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    again = site.run()

    assert again.code == 0, again
    assert "already complete" in again.err
    moved = "cannot be moved aside: Read-only file system"
    assert refused(site.run("--fresh"), f"error: {site.run_dir}: {moved}", "--output-dir")


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_place_for_a_new_run_without_rights(tmp_path: Path, mode: int) -> None:
    site = Site(folder=tmp_path).write(dialogues(3))
    wrapper = without_override()
    (tmp_path / "runs").mkdir(mode=mode)

    assert refused(
        site.run(wrapper=wrapper), f"error: {site.run_dir}: cannot be used", "Permission denied", "--output-dir"
    )


def test_a_run_directory_that_became_read_only(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(3))
    wrapper = without_override()
    site.run_dir.mkdir(parents=True)
    site.run_dir.chmod(0o555)

    assert one_line(site.run(wrapper=wrapper), site.journal, "Permission denied")

    site.run_dir.chmod(0o755)
    assert completes(site, reference(site))


def test_a_finished_run_may_be_read_only(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(3))
    wrapper = without_override()
    assert site.run_here().code == 0
    site.run_dir.chmod(0o555)

    assert site.run(wrapper=wrapper).code == 0


def test_an_output_dir_that_is_a_file(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(3))
    (tmp_path / "runs").write_text("mine")

    assert refused(site.run(), f"error: {site.run_dir}: cannot be used as a run directory", "--output-dir")
    assert (tmp_path / "runs").read_text() == "mine"
