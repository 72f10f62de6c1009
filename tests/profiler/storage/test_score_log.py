from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from profiler.core.errors import LogError, StorageError
from profiler.metrics import metric as metrics
from profiler.metrics.builtin import BUILTIN
from profiler.storage.names import REQUESTS, RESPONSES, SCORES, SUMMARY
from profiler.storage.reading.saved_run import SavedRun, reduce_and_score, reduce_logs
from tests.profiler.building import files_end_at
from tests.profiler.storage import directories

ALL = tuple(BUILTIN.values())
NAMES = ["fact_coverage", "refusal_rate", "completion_rate", "refusal_as_expected"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def complete(folder: Path, count: int = 3) -> SavedRun:
    """A complete run of an older format: three files, no scores."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, answered = [], []
    for index in range(count):
        same = {"dialogue_id": f"d{index}", "index": index}
        asked.append(
            {**same, "prompt": {"system": None, "user": f"question {index}"}, "required_facts": ["Paris", "x"]}
        )
        kind = "error" if index == 2 else "answer"
        answered.append({**same, "type": kind, "completion": None if kind == "error" else "paris"})
    for name, written in ((REQUESTS, asked), (RESPONSES, answered)):
        (folder / name).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in written))
    facts = {"experiment_id": "one", "metrics": list(BUILTIN)}
    (folder / SUMMARY).write_bytes(orjson.dumps({"metrics": {}, "counts": {}, "run": facts}))
    return SavedRun(folder)


EXPECTED = [
    {
        "dialogue_id": f"d{index}",
        "index": index,
        "scores": {
            "fact_coverage": None if index == 2 else 0.5,
            "refusal_rate": None if index == 2 else False,
            "completion_rate": index != 2,
            "refusal_as_expected": None,
        },
    }
    for index in range(3)
]


def test_the_reduction_writes_a_line_an_item_and_counts_the_same(tmp_path: Path) -> None:
    run = complete(tmp_path)
    reduction = reduce_and_score(tmp_path, ALL, tell=print)
    assert reduction.estimates() == reduce_logs(tmp_path, ALL).estimates()
    assert lines(tmp_path / SCORES) == EXPECTED == list(run.scores())


def test_more_items_than_are_taken_at_a_time_keep_their_order(tmp_path: Path) -> None:
    complete(tmp_path, 1000)
    reduce_and_score(tmp_path, ALL, tell=print)
    found = lines(tmp_path / SCORES)
    assert [line["index"] for line in found] == list(range(1000))
    assert [line["dialogue_id"] for line in found] == [f"d{index}" for index in range(1000)]


def test_names_of_metrics_need_not_be_names_of_python(tmp_path: Path) -> None:
    complete(tmp_path)
    reduce_and_score(tmp_path, [metrics.rate("a.b-c", lambda _: True)], tell=print)
    assert lines(tmp_path / SCORES)[0]["scores"] == {"a.b-c": True}


def test_metrics_without_scores_leave_lines_without_any(tmp_path: Path) -> None:
    complete(tmp_path)
    reduce_and_score(tmp_path, [BUILTIN["geometric_mean"]], tell=print)
    assert [line["scores"] for line in lines(tmp_path / SCORES)] == [{}, {}, {}]


def test_a_run_without_the_file_has_its_scores_worked_out_and_none_is_written(tmp_path: Path) -> None:
    run = complete(tmp_path)
    assert list(run.scores()) == EXPECTED
    assert not (tmp_path / SCORES).exists()


def test_an_unfinished_run_is_never_believed_an_old_file(tmp_path: Path) -> None:
    directories.run(tmp_path, asked=range(4), answered=[0, 2])
    (tmp_path / SCORES).write_bytes(b'{"dialogue_id":"d0","index":0,"scores":{"fact_coverage":0.125}}\n')
    assert [line["dialogue_id"] for line in SavedRun(tmp_path).scores()] == ["d0", "d2"]
    assert "fact_coverage" in next(iter(SavedRun(tmp_path).scores()))["scores"]


def test_a_full_disk_leaves_the_old_scores_and_nothing_beside_them(tmp_path: Path) -> None:
    complete(tmp_path, 2000)
    (tmp_path / SCORES).write_bytes(b"before\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    with files_end_at(10_000), pytest.raises(StorageError, match=r"scores\.jsonl"):
        reduce_and_score(tmp_path, ALL, tell=print)
    assert (tmp_path / SCORES).read_bytes() == b"before\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_damaged_log_leaves_the_old_scores(tmp_path: Path) -> None:
    complete(tmp_path)
    (tmp_path / SCORES).write_bytes(b"before\n")
    with (tmp_path / RESPONSES).open("ab") as log:
        log.write(b"{}\n")
    with pytest.raises(LogError):
        reduce_and_score(tmp_path, ALL, tell=print)
    assert (tmp_path / SCORES).read_bytes() == b"before\n"


def test_a_score_that_raises_is_told_once_and_the_metric_keeps_its_value(tmp_path: Path) -> None:
    complete(tmp_path)
    told: list[str] = []
    own = metrics.rate("own", lambda _: True)
    broken = metrics.Metric(
        name="own", contribute=own.contribute, merge=own.merge, finish=own.finish, score=lambda _: 1 // 0
    )
    assert reduce_and_score(tmp_path, [broken], tell=told.append).estimates()["own"].value == 1.0
    assert len(told) == 1
    assert "ZeroDivisionError" in told[0]
    told.clear()
    raising = metrics.rate("own", lambda _: bool(1 // 0))
    assert reduce_and_score(tmp_path, [raising], tell=told.append).faults
    assert told == []  # the fault of the metric itself says it


def test_scores_follow_from_contributions_that_cannot_be_hashed(tmp_path: Path) -> None:
    complete(tmp_path)
    lengths = metrics.Metric(
        name="lengths",
        contribute=lambda outcome: [len(outcome.completion or "")],
        merge=lambda left, right: left + right,
        finish=lambda state: metrics.Estimate(None, len(state or ())),
        score=lambda outcome: len(outcome.completion or ""),
        score_of=lambda state: None if state is None else state[0],
    )
    reduction = reduce_and_score(tmp_path, [BUILTIN["refusal_rate"], lengths], tell=print)
    assert reduction.estimates()["lengths"].n == 3
    assert [line["scores"] for line in lines(tmp_path / SCORES)] == [
        {"refusal_rate": False, "lengths": 5},
        {"refusal_rate": False, "lengths": 5},
        {"refusal_rate": None, "lengths": 0},
    ]


def test_the_text_of_scores_is_that_of_each_outcome_whatever_was_scored_before(tmp_path: Path) -> None:
    """Scores that follow from contributions are encoded once; the others, which are equal to Python, as they are."""
    run = complete(tmp_path, 600)
    numbers = iter([1, True, 1.0, 0.0, -0.0, False] * 100)
    raising = metrics.rate("raising", lambda outcome: 1 // (outcome.dialogue_id != "d300") == 1)
    own = metrics.Metric(
        name="own",
        contribute=lambda _: 1,
        merge=lambda left, right: left + right,
        finish=lambda state: metrics.Estimate(None, state or 0),
        score=lambda _: next(numbers),
    )
    texts = [line.split(b'"scores":')[1] for line in scored(tmp_path, [raising])]
    assert texts == [b'{"raising":null}}' if index == 300 else b'{"raising":true}}' for index in range(600)]
    texts = [line.split(b'"own":')[1] for line in scored(tmp_path, [BUILTIN["completion_rate"], own])]
    assert texts == [b"1}}", b"true}}", b"1.0}}", b"0.0}}", b"-0.0}}", b"false}}"] * 100
    scored(tmp_path, ALL)
    assert lines(tmp_path / SCORES) == list(run.scores())  # these are worked out without what was contributed


def scored(folder: Path, chosen: list[metrics.Metric[Any]] | tuple[metrics.Metric[Any], ...]) -> list[bytes]:
    reduce_and_score(folder, chosen, tell=lambda _: None)
    return (folder / SCORES).read_bytes().splitlines()


def test_the_scores_are_on_the_device_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the rename must not leave an empty file under the final name."""
    complete(tmp_path)
    events: list[str] = []
    really_rename = Path.replace

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        events.append(f"sync {path.name} of {path.stat().st_size}" if path.is_file() else "sync the folder")

    def rename(draft: Path, path: Path) -> Path:
        events.append(f"rename {draft.name} of {draft.stat().st_size}")
        return really_rename(draft, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    reduce_and_score(tmp_path, ALL, tell=lambda _: None)

    size = (tmp_path / SCORES).stat().st_size
    assert size > 0
    assert events == [f"sync .{SCORES}.tmp of {size}", f"rename .{SCORES}.tmp of {size}", "sync the folder"]
