"""Whatever a submission does, and however small or busy the machine is, a verdict is never an error."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.audit.corpus.entries import Corpus, Entry, load, load_all
from grader.experiment_profiler.audit.corpus.overlay import lay_out
from grader.experiment_profiler.grading.grade import Asked, grade, reference
from grader.experiment_profiler.grading.many import grade_many
from task_kit.sandbox import Level, detect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL_MIB = 260  # room for two boxes at once, and little more
BUSY = 8
WORDS = dict.fromkeys(("@LOOT@", "@LOOT_FILE@", "@LOOT_PORT@", "@GRADER_PID@", "@PROJECT@"), "1")
FILLING = (
    "errors/fills_its_disk_and_sleeps",
    "floods/fills_the_disk",
    "floods/a_million_small_files",
    "odd_files/huge_file",
)


def laid_out(entries: list[Entry], folder: Path) -> list[Path]:
    found = []
    for number, entry in enumerate(entries):
        found.append(folder / f"{number:03}")
        lay_out(entry, found[-1], reference=reference(), words=WORDS)
    return found


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m,mode=1777", "tmpfs", folder],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("only who may mount has a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def busy() -> Iterator[None]:
    """Others who compute without end, at no less right than we."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.long
def test_nothing_that_fills_a_small_disk_gives_an_error_alone_or_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling = [entry for entry in load(Corpus.CHEATS) if entry.name in FILLING]
    assert len(filling) == len(FILLING)
    honest = [entry for entry in load(Corpus.HONEST) if entry.name == "manners/reference"]
    folders = laid_out([filling[0], *honest, *filling[1:], *honest], tmp_path / "submissions")
    with small_disk(tmp_path / "small"):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "small"))
        asked = Asked(seed="small", worlds=1, timeout_s=2.0, fail_fast=True)
        counts = grade_many(folders, asked, output=tmp_path / "out", jobs=2)
        left = list((tmp_path / "small").iterdir())

    assert counts == {"fail": len(filling), "pass": 2}
    assert left == []


EVERYTHING: dict[str, list[Entry]] = {}  # by corpus and file
for each in load_all():
    EVERYTHING.setdefault(f"{each.corpus}/{each.name.partition('/')[0]}", []).append(each)


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 3], ids=["alone", "beside others"])
@pytest.mark.parametrize("file", EVERYTHING)
def test_no_submission_of_the_corpora_gives_an_error_on_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, jobs: int
) -> None:
    """Honest or not: those that wait for room do not mind, and those that take it are judged."""
    level = detect().level
    entries = [entry for entry in EVERYTHING[file] if Level.parse(entry.stopped_from) <= level]
    folders = laid_out(entries, tmp_path / "submissions")
    with small_disk(tmp_path / "small"):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "small"))
        asked = Asked(seed="", worlds=1, timeout_s=2.0, fail_fast=True)
        counts = grade_many(folders, asked, output=tmp_path / "out", jobs=jobs)
        left = list((tmp_path / "small").iterdir())

    assert sum(counts.values()) == len(entries)
    assert counts["error"] == 0, (tmp_path / "out").read_text(encoding="utf-8")
    assert left == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["errors", "odd_files", "killing"])
def test_no_cheat_of_the_kind_gives_an_error_as_an_ordinary_user_would_see_it(tmp_path: Path, kind: str) -> None:
    """At the lower level, where what was written lies in the host's own folder."""
    entries = [entry for entry in load(Corpus.CHEATS) if entry.name.startswith(f"{kind}/")]
    entries = [replace(entry, timeout=None) for entry in entries if entry.stopped_from != "namespaces"]
    folders = laid_out(entries, tmp_path / "submissions")

    statuses = {
        entry.name: grade(folder, seed="kernel", worlds=1, timeout=3.0, isolation="kernel", fail_fast=True).status.value
        for entry, folder in zip(entries, folders, strict=True)
    }
    assert {name: status for name, status in statuses.items() if status != "fail"} == {}


MADE_UP = {  # entry: the most that a partial reward may pay for what is left of the reference in it
    "partial/empty_logs": 0.3,
    "completions/answers_of_its_own": 0.4,
    "hard_coded/writes_the_sample_run": 0.4,
    "hard_coded/sample_metrics_for_every_world": 0.4,
    "errors/fills_its_disk_and_sleeps": 0.0,
    "floods/eats_memory": 0.0,
    "afterlife/daemon_that_finishes_later": 0.0,
    "exits/exit_at_import": 0.0,
}


@pytest.mark.long
@pytest.mark.parametrize("name", MADE_UP)
def test_a_partial_reward_pays_for_nothing_that_is_empty_made_up_or_beyond_a_limit(tmp_path: Path, name: str) -> None:
    (entry,) = (entry for entry in load(Corpus.CHEATS) if entry.name == name)
    (folder,) = laid_out([entry], tmp_path / "submissions")

    result = grade(folder, seed="partial", worlds=1, timeout=entry.timeout or 5.0, partial=True)

    assert result.status.value == "fail"
    assert result.reward <= MADE_UP[name]


@pytest.mark.long
def test_a_busy_machine_changes_no_verdict(tmp_path: Path) -> None:
    names = ("manners/reference", "asking/threads", "asking/slow", "metrics/lower_case", "interface/never_live")
    entries = [entry for entry in load_all() if entry.name in names]
    folders = laid_out(entries, tmp_path / "submissions")
    expected = ["pass" if entry.corpus is Corpus.HONEST else "fail" for entry in entries]

    with busy():
        found = [grade(folder, seed="busy", worlds=3).status.value for folder in folders]

    assert found == expected
