from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from profiler.storage import journal
from profiler.storage.journal import Header
from profiler.storage.line_file import LineFile
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES, SUMMARY
from profiler.storage.reading.frozen_run import frozen
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from pathlib import Path


def begun(folder: Path, *, kept: int) -> SavedRun:
    """A run that has so many answers of three, in the order in which a run writes them."""
    with LineFile(folder / JOURNAL) as file:
        identity = {"experiment_id": "e", "mode": "live"}
        journal.begin(file, Header(journal=journal.FORMAT, count=3, identity=identity, started="then"))
    go_on(folder, *range(kept))
    return SavedRun(folder)


def go_on(folder: Path, *indexes: int) -> None:
    for index in indexes:
        known = {"dialogue_id": f"d{index}", "index": index}
        for name in (REQUESTS, JOURNAL, RESPONSES):
            more = {"type": "answer", "completion": "Paris", "cost_usd": 0.5}
            line = {**known, "prompt": {"user": "?"}} if name == REQUESTS else {**known, **more}
            with (folder / name).open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")


def end(folder: Path, summary: dict[str, Any]) -> None:
    """What a run does at its end: its summary is written, then the journal goes."""
    (folder / SUMMARY).write_bytes(orjson.dumps(summary))
    (folder / JOURNAL).unlink(missing_ok=True)


def test_what_is_read_twice_is_the_same_though_the_run_goes_on_and_ends_meanwhile(tmp_path: Path) -> None:
    run = frozen(begun(tmp_path, kept=2))
    first = [(item.dialogue_id, item.request["prompt"], item.answer) for item in run.items()]

    go_on(tmp_path, 2)
    again = [(item.dialogue_id, item.request["prompt"], item.answer) for item in run.items()]
    end(tmp_path, {"metrics": {}, "counts": {"total": 3}, "run": {"mode": "live"}})
    at_last = [(item.dialogue_id, item.request["prompt"], item.answer) for item in run.items()]

    assert first == again == at_last == [(f"d{index}", {"user": "?"}, "Paris") for index in range(2)]
    assert [line["dialogue_id"] for line in run.scores()] == ["d0", "d1"]
    assert (run.summary["run"]["kept"], run.summary["run"]["spent_usd"], run.complete) == (2, 1.0, False)
    assert SavedRun(tmp_path).complete


def test_a_run_whose_journal_goes_while_one_looks_for_it_is_complete(tmp_path: Path) -> None:
    class EndsNow(SavedRun):
        def begun(self) -> None:
            end(self.folder, {"metrics": {}, "counts": {"total": 2}, "run": {"mode": "live"}})

    run = frozen(EndsNow(begun(tmp_path, kept=2).folder))

    assert run.complete
    assert run.summary["counts"] == {"total": 2}
