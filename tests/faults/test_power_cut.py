"""A power cut before the first line of the journal has reached the disk: the same command goes on, or says why it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from profiler.core.errors import RunDirectoryError
from profiler.engine.options import Options
from profiler.engine.runner import run_sync
from profiler.manifest.settings import Experiment, MockSettings
from profiler.provider.mock import MockClient
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES


class Paid(MockClient):
    """A client of the user's own, of which nobody knows whether it costs something."""


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    path = tmp_path / "dialogues.jsonl"
    lines = [json.dumps({"dialogue_id": f"d{index}", "user": f"question {index}"}) + "\n" for index in range(12)]
    path.write_text("".join(lines), encoding="utf-8")
    return Experiment(experiment_id="exp", model="m", max_tokens=64, dataset_path=path, concurrency=4)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def left_in(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, found in content.items():
        (folder / name).write_bytes(found)
    return folder


@pytest.mark.parametrize("first_line", [b"", b'{"journal":2,"count":1', bytes(4096)])
@pytest.mark.parametrize(("kept", "zeros"), [(0, 0), (0, 300), (700, 0), (700, 300), (10**6, 0)])
def test_a_run_of_the_mock_begins_anew_and_what_was_there_is_put_aside(
    experiment: Experiment, tmp_path: Path, first_line: bytes, kept: int, zeros: int
) -> None:
    run_sync(experiment, options=Options(output_dir=tmp_path / "whole"))
    whole = files(tmp_path / "whole" / "exp")
    left = {name: whole[name][:kept] + bytes(zeros) for name in (REQUESTS, RESPONSES)} | {JOURNAL: first_line}
    folder = left_in(tmp_path / "runs" / "exp", left)
    told: list[str] = []

    run_sync(experiment, options=Options(output_dir=tmp_path / "runs"), note=told.append)

    assert files(folder) == whole
    asides = list(folder.parent.glob("exp.old-*"))
    assert [files(aside) for aside in asides] == ([left] if kept or zeros else [])  # there is nothing in empty files
    said = [line for line in told if "nobody paid" in line]
    assert len(said) == len(asides)
    assert all(str(aside) in line for aside, line in zip(asides, said, strict=True))


@pytest.mark.parametrize(("own", "ledger"), [(True, False), (False, True)])
def test_what_somebody_may_have_paid_for_stays_where_it_is(
    experiment: Experiment, tmp_path: Path, *, own: bool, ledger: bool
) -> None:
    left = {JOURNAL: b'{"journal":2', RESPONSES: b"an answer\n"} | ({LEDGER: b"money"} if ledger else {})
    folder = left_in(tmp_path / "runs" / "exp", left)

    with pytest.raises(RunDirectoryError, match="no journal with a whole first line"):
        run_sync(
            experiment, options=Options(output_dir=tmp_path / "runs"), client=Paid(MockSettings()) if own else None
        )

    assert files(folder) == left
    assert list(folder.parent.iterdir()) == [folder]
