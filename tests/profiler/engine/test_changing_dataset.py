"""A dataset that changes while its run goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import (
    CallError,
    DatasetError,
    ProviderFailed,
    RunDirectoryError,
)
from profiler.core.nouns import Request
from profiler.manifest.settings import Experiment
from tests.profiler.engine.running import COUNT, Counting, options, run_sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rewriting(path: Path, content: bytes) -> Counting:
    """Whatever is asked in the middle of the run, the dataset is written anew before it is answered."""

    def write(request: Request) -> None:
        if request.index == COUNT // 2:
            path.write_bytes(content)

    return Counting(first=write)


def test_a_dataset_that_changes_during_the_run_does_not_pass_for_the_one_that_was_checked(
    experiment: Experiment, tmp_path: Path
) -> None:
    path, asked = experiment.dataset_path, options(tmp_path / "runs")
    before = path.read_bytes()
    other = before.replace(b"question 1", b"question 2")

    with pytest.raises(DatasetError, match="the file changed during the run"):
        run_sync(experiment, options=asked, client=rewriting(path, other))
    assert not (tmp_path / "runs/exp/summary.json").exists()
    with pytest.raises(RunDirectoryError, match="dataset_sha256"):
        run_sync(experiment, options=asked)
    path.write_bytes(before)

    assert run_sync(experiment, options=asked).answered_now == 0


def test_a_run_that_stops_tells_of_a_dataset_that_changed(experiment: Experiment, tmp_path: Path) -> None:
    path, told = experiment.dataset_path, list[str]()

    def spoil(request: Request) -> None:
        if request.index == COUNT // 2:
            path.write_bytes(path.read_bytes().replace(b"question 1", b"question 2"))
            raise CallError("authentication", "no more", fatal=True)

    with pytest.raises(ProviderFailed):
        run_sync(experiment, options=options(tmp_path / "runs"), client=Counting(first=spoil), note=told.append)

    assert ["the file changed during the run" in line for line in told].count(True) == 1


def test_a_dataset_that_was_changed_during_the_run_and_put_back_is_noticed_by_what_was_asked(
    experiment: Experiment, tmp_path: Path
) -> None:
    path, asked = experiment.dataset_path, options(tmp_path / "runs")
    rows = [{"dialogue_id": f"d{number}", "user": f"old {number} " + "x" * 300_000} for number in range(COUNT)]
    before = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    path.write_bytes(before)

    def change_and_stop(request: Request) -> None:
        if request.index == 1:
            path.write_bytes(before.replace(b"old", b"new"))
        if request.index == COUNT - 1:
            raise CallError("authentication", "no more", fatal=True)

    with pytest.raises(ProviderFailed):
        run_sync(experiment, options=asked, client=Counting(first=change_and_stop))
    path.write_bytes(before)

    with pytest.raises(RunDirectoryError, match="was asked in other words than the dataset has now"):
        run_sync(experiment, options=asked)


def test_a_dataset_that_is_only_touched_during_the_run_is_the_same(experiment: Experiment, tmp_path: Path) -> None:
    path = experiment.dataset_path

    result = run_sync(experiment, options=options(tmp_path / "runs"), client=rewriting(path, path.read_bytes()))

    assert result.answered_now == COUNT


def removed(path: Path) -> None:
    path.unlink(missing_ok=True)


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text('{"dialogue_id": "other", "user": "x"}\n', encoding="utf-8")
    other.replace(path)


@pytest.mark.parametrize("how", [removed, replaced])
def test_a_dataset_that_makes_room_for_another_during_the_run_was_read_as_it_was(
    experiment: Experiment, tmp_path: Path, how: Callable[[Path], None]
) -> None:
    client = Counting(first=lambda _: how(experiment.dataset_path))

    assert run_sync(experiment, options=options(tmp_path / "runs"), client=client).answered_now == COUNT
