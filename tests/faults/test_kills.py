"""kill -9 and torn files: nothing is lost, nothing is asked twice, and the end is the same to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kill_storm import storm
from tests.faults.runs import COMPLETE, Site, dialogues, differing, kill, refused, wait_until, whole_lines

SETTINGS: dict[str, Any] = {"concurrency": 8, "mock": {"latency_s": {"median_s": 0.005, "sigma": 0.5}}}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(folder=tmp_path / "site").write(dialogues(120), **SETTINGS)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    reference = Site(folder=tmp_path_factory.mktemp("reference")).write(dialogues(120), **SETTINGS)
    assert reference.run_here().code == 0
    return reference.results()


def stopped_half_way(site: Site) -> Site:
    process = site.start()
    assert wait_until(process, lambda: len(whole_lines(site.journal)) > 60)
    assert kill(process)
    return site


def dead_before(site: Site, operation: str) -> Site:
    """A run that died right before an operation on a file."""
    shimmed = site.at(site.runs, FAULTS_DIE_BEFORE=operation)
    assert shimmed.run().code == -9, f"never came to {operation}"
    return site


def test_kills_at_random_moments_lose_nothing_and_ask_nothing_twice(tmp_path: Path) -> None:
    report = storm(tmp_path, kills=8, seed=1)

    assert report.violations == []
    assert report.kills >= 8
    assert report.finished >= 2


def test_files_cut_at_random_bytes_after_kills_end_the_same(tmp_path: Path) -> None:
    report = storm(tmp_path, kills=5, seed=2, tear=True)

    assert report.violations == []
    assert report.torn >= 3


@pytest.mark.parametrize(
    "operation",
    [
        "open /journal.jsonl",
        "open requests.jsonl",
        "open responses.jsonl",
        "open .summary.json",
        "os.rename summary.json",
        "os.remove /journal.jsonl",
    ],
)
def test_a_kill_at_any_step_ends_the_same(site: Site, expected: dict[str, bytes], operation: str) -> None:
    kept = dead_before(site, operation).answered() if operation != "open /journal.jsonl" else set()
    before = len(site.calls())

    assert site.run_here().code == 0

    assert not kept.intersection(site.calls()[before:])
    assert list(differing(site.results(), expected)) == []


def test_a_torn_last_line_is_cut_and_told(site: Site, expected: dict[str, bytes]) -> None:
    stopped_half_way(site)
    for path in (site.journal, site.requests, site.responses):
        with path.open("ab") as file:
            file.write(b'{"dialogue_id":"d1","ind')

    run = site.run_here()

    assert run.code == 0
    for path in (site.journal, site.requests, site.responses):
        assert f"{path.name}: cut 24 bytes of a torn last line" in run.err
    assert list(differing(site.results(), expected)) == []


def test_what_is_written_behind_a_torn_line_can_be_read_again(site: Site, expected: dict[str, bytes]) -> None:
    stopped_half_way(site)
    for path in (site.journal, site.requests):
        with path.open("ab") as file:
            file.write(b'{"dialogue_id":"d1","ind')
    dead_before(site, "os.rename summary.json")

    assert site.run_here().code == 0
    assert list(differing(site.results(), expected)) == []


def test_a_journal_behind_its_log_is_followed_and_told(site: Site, expected: dict[str, bytes]) -> None:
    """As after a power cut: the log's blocks reached the disk, the journal's did not."""
    dead_before(site, "os.rename summary.json")
    lines = whole_lines(site.journal)
    site.journal.write_bytes(b"".join(lines[:40]))

    run = site.run_here()

    assert run.code == 0
    assert "responses.jsonl: cut" in run.err
    assert list(differing(site.results(), expected)) == []


def test_zeros_after_a_power_cut_are_a_torn_tail(site: Site, expected: dict[str, bytes]) -> None:
    stopped_half_way(site)
    for path in (site.journal, site.requests, site.responses):
        with path.open("ab") as file:
            file.write(bytes(5000))

    assert site.run_here().code == 0
    assert list(differing(site.results(), expected)) == []


def test_a_damaged_line_in_the_middle_of_the_journal_is_named(site: Site) -> None:
    stopped_half_way(site)
    lines = whole_lines(site.journal)
    lines[17] = lines[17][:30] + b"\n"
    site.journal.write_bytes(b"".join(lines))
    calls = len(site.calls())

    assert refused(site.run_here(), f"{site.journal}:18: found a line that is no record")
    assert site.journal.read_bytes() == b"".join(lines)
    assert len(site.calls()) == calls


def test_a_removed_line_is_asked_again(site: Site, expected: dict[str, bytes]) -> None:
    """What the message of a damaged line tells people to do."""
    stopped_half_way(site)
    lines = whole_lines(site.journal)
    gone = json.loads(lines.pop(17))["dialogue_id"]
    site.journal.write_bytes(b"".join(lines))
    before = len(site.calls())

    assert site.run_here().code == 0
    assert gone in site.calls()[before:]
    assert list(differing(site.results(), expected)) == []


def test_logs_without_the_first_line_of_their_journal_are_not_overwritten(site: Site) -> None:
    dead_before(site, "os.rename summary.json")
    site.journal.write_bytes(b'{"journal":1')
    before = site.responses.read_bytes()

    assert refused(site.run_here(), "but no journal with a whole first line", "--fresh")
    assert site.responses.read_bytes() == before


def test_a_leftover_of_a_kill_is_swept_away(site: Site, expected: dict[str, bytes]) -> None:
    dead_before(site, "os.rename summary.json")
    assert len(list(site.run_dir.iterdir())) == 5

    assert site.run_here().code == 0
    assert {path.name for path in site.run_dir.iterdir()} == COMPLETE
