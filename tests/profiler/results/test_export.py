from __future__ import annotations

import csv
import json
import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import StorageError, UsageError
from profiler.core.nouns import Failure, Outcome
from profiler.metrics.reduction import reduce_outcomes
from profiler.metrics.summary import build
from profiler.results.export import export
from profiler.results.table_columns import usual_type
from tests.profiler.building import files_end_at
from tests.profiler.results.comparing import folders
from tests.profiler.results.runs import FORMULA, finished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.storage.reading.saved_run import SavedRun

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return finished(tmp_path_factory.mktemp("run"))


def from_jsonl(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text().splitlines()]


WORDS = (
    "dialogue_id",
    "question",
    "answer",
    "type",
    "stop_reason",
    "error",
    "error.message",
    "model",
    "metadata.topic",
    "metadata.site",
)


def from_csv(path: Path) -> Rows:
    """Everything is text, and what is not a word is JSON."""
    with path.open(newline="") as file:
        rows: Rows = list(csv.DictReader(file))
    return [{name: read(name, cell) for name, cell in row.items()} for row in rows]


def read(name: str, cell: str) -> Any:
    return None if cell == "" else cell if name in WORDS else json.loads(cell)


def from_sqlite(path: Path) -> Rows:
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    rows = [dict(row) for row in database.execute("SELECT * FROM items")]
    database.close()
    for row in rows:
        for name in ("replies", "required_facts", "tags"):
            row[name] = json.loads(row[name]) if row[name] else None
        row["expect_refusal"] = None if row["expect_refusal"] is None else bool(row["expect_refusal"])
    return rows


def from_parquet(path: Path) -> Rows:
    rows: Rows = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    return rows


READERS: dict[str, Callable[[Path], Rows]] = {
    "jsonl": from_jsonl,
    "csv": from_csv,
    "sqlite": from_sqlite,
    "parquet": from_parquet,
}


def outcome(row: dict[str, Any]) -> Outcome:
    error = row["error"] and Failure(type=row["error"], message=row["error.message"], status=row["error.status"])
    usage = None if row["input_tokens"] is None else {n: row[n] for n in ("input_tokens", "output_tokens")}
    return Outcome(
        row["dialogue_id"],
        row["type"],
        completion=row["answer"],
        usage=usage,
        latency_s=row["latency_s"],
        queue_s=row["queue_s"],
        attempts=row["attempts"],
        cost_usd=row["cost_usd"],
        error=error or None,
        required_facts=tuple(row["required_facts"] or ()),
        expect_refusal=row["expect_refusal"],
        expected=row["expected"],
        tags=tuple(row["tags"] or ()),
    )


@pytest.mark.parametrize("to", READERS)
def test_metrics_of_an_export_are_those_of_the_run_to_the_bit(run: SavedRun, tmp_path: Path, to: str) -> None:
    path = tmp_path / f"run.{to}"
    assert export(run, str(path), to=to, raw=to == "csv") == 12
    rows = READERS[to](path)

    summary = run.summary
    counted = build(reduce_outcomes(map(outcome, rows), run.metrics()), summary["run"])
    assert counted == summary


@pytest.mark.parametrize("to", READERS)
def test_every_value_of_an_item_is_in_its_row(run: SavedRun, tmp_path: Path, to: str) -> None:
    path = tmp_path / f"run.{to}"
    export(run, str(path), to=to, raw=to == "csv")
    rows = READERS[to](path)
    for row, item in zip(rows, run.items(), strict=True):
        assert (row["dialogue_id"], row["question"]) == (item.dialogue_id, item.question)
        assert row["answer"] == item.answer
        assert (row["metadata.level"], row["metadata.topic"]) == (item.request["metadata"]["level"], "=sum")
        assert {name: row[f"scores.{name}"] for name in item.scores} == item.scores
        assert row["expected"] == item.request["expected"]
    assert "ttft_s" not in rows[0]  # no item has one


def test_a_spreadsheet_runs_nothing_that_a_model_wrote(run: SavedRun, tmp_path: Path) -> None:
    export(run, str(tmp_path / "run.csv"), to="csv")
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["answer"] for row in rows if "HYPERLINK" in row["answer"]} == {f"'{FORMULA}"}
    assert {row["metadata.topic"] for row in rows} == {"'=sum"}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_texts_and_columns_can_be_left_out(run: SavedRun, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    export(run, str(path), to="jsonl", texts=False, drop=("request_id", "scores.numeric"))
    content = path.read_text()
    assert "What is" not in content
    assert "It is" not in content
    assert "sum" not in content
    assert {"request_id", "scores.numeric", "question", "replies", "expected", "error.message"}.isdisjoint(
        json.loads(content.splitlines()[0])
    )
    with pytest.raises(UsageError) as caught:
        export(run, str(path), to="jsonl", drop=("scores.numrec",))
    assert caught.value.hint == "did you mean 'scores.numeric'?"
    assert path.read_text() == content


@pytest.mark.parametrize("to", ["parquet", "sqlite"])
def test_what_is_no_stream_cannot_go_to_stdout(run: SavedRun, to: str) -> None:
    with pytest.raises(UsageError, match="cannot be written to stdout"):
        export(run, "-", to=to)


def test_stdout_gets_the_same_bytes_as_a_file(
    run: SavedRun, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for to in ("csv", "jsonl"):
        export(run, "-", to=to)
        export(run, str(tmp_path / "x"), to=to)
        assert capfdbinary.readouterr().out == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize("to", READERS)
def test_a_finished_run_is_exported_where_a_metric_of_ones_own_is_not_at_hand(tmp_path: Path, to: str) -> None:
    own = tmp_path / "own_metric_of_export.py"
    own.write_text("from profiler import mean\nlong = mean('long', lambda outcome: 0.25, lower=0, upper=1)\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        run = finished(tmp_path, metrics=["numeric", "own_metric_of_export:long"])
    sys.modules.pop("own_metric_of_export", None)
    own.unlink()

    export(run, str(tmp_path / "x"), to=to, raw=to == "csv")

    found = [row["scores.long"] for row in READERS[to](tmp_path / "x")]
    assert found == [0.25] * 12


@pytest.mark.parametrize("to", READERS)
def test_a_disk_that_is_full_leaves_the_file_of_before(run: SavedRun, tmp_path: Path, to: str) -> None:
    path = tmp_path / "x"
    path.write_text("before")
    with files_end_at(64), pytest.raises(StorageError):
        export(run, str(path), to=to)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_mixed_values_of_a_column_become_text_and_whole_numbers_stay(run: SavedRun, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    export(run, str(tmp_path / "x.parquet"), to="parquet")
    schema = arrow.parquet.read_schema(tmp_path / "x.parquet")
    assert schema.field("scores.numeric").type == arrow.bool_()
    assert schema.field("metadata.level").type == arrow.int64()
    assert schema.field("tags").type == arrow.list_(arrow.string())
    assert schema.field("latency_s").type == arrow.float64()


def test_an_export_is_on_the_device_before_it_gets_its_name(
    run: SavedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(fd: int) -> None:
        found = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 (Path is not imported at run time)
        synced.append(found.rpartition("/")[2] + (" with its name" if (tmp_path / "x.csv").exists() else ""))

    monkeypatch.setattr(os, "fsync", fsync)
    export(run, str(tmp_path / "x.csv"), to="csv")
    assert synced == [".x.csv.tmp", f"{tmp_path.name} with its name"]


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    """Metadata whose keys differ in letter case alone, and whole numbers of 64 bits without a sign."""
    extra = {"Site": 1, "site": "x", "hash": 2**64 - 1, "deep": {"x": 1}}
    return finished(tmp_path_factory.mktemp("run"), extra=extra)


def test_sqlite_takes_names_that_it_cannot_tell_apart(odd_run: SavedRun, tmp_path: Path) -> None:
    export(odd_run, str(tmp_path / "x.sqlite"), to="sqlite")
    row = from_sqlite(tmp_path / "x.sqlite")[0]
    assert (row["metadata.Site"], row["metadata.site_2"]) == (1, "x")


def test_whole_numbers_beyond_what_a_format_holds_stay_whole(odd_run: SavedRun, tmp_path: Path) -> None:
    for to in READERS:
        export(odd_run, str(tmp_path / f"x.{to}"), to=to)
        assert int(READERS[to](tmp_path / f"x.{to}")[0]["metadata.hash"]) == 2**64 - 1


def test_a_column_without_a_value_has_the_type_that_it_has_in_other_runs(run: SavedRun, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    export(run, str(tmp_path / "x.parquet"), to="parquet")
    schema = arrow.parquet.read_schema(tmp_path / "x.parquet")
    assert schema.field("cost_usd").type == schema.field("temperature").type == arrow.float64()
    assert schema.field("error.status").type == arrow.int64()
    assert schema.field("expect_refusal").type == arrow.bool_()
    assert schema.field("request_id").type == arrow.string()
    assert usual_type("scores.judged_by_a_model_s") is float  # a score without any value


@pytest.mark.parametrize("name", ["requests.jsonl", "responses.jsonl", "scores.jsonl", "summary.json"])
def test_an_export_never_replaces_what_a_run_consists_of(run: SavedRun, tmp_path: Path, name: str) -> None:
    link, before = tmp_path / "answers.jsonl", (run.folder / name).read_bytes()
    link.symlink_to(run.folder / name)
    for path in (run.folder / name, link):
        with pytest.raises(UsageError, match="is a file of a run"):
            export(run, str(path), to="jsonl")
    assert (run.folder / name).read_bytes() == before
    export(run, str(run.folder / "mine.jsonl"), to="jsonl")  # a file beside them is nobody's loss


def test_a_metric_of_ones_own_is_looked_for_where_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "shortness.py").write_text(
        "from profiler import mean\nshort = mean('short', lambda outcome: 1 / len(outcome.completion))\n"
    )
    unscored = folders.write_run(
        tmp_path / "run", [folders.item(0, completion="four")], scores=False, metrics=["shortness:short"]
    )
    export(unscored, str(tmp_path / "x.jsonl"), to="jsonl", search_path=tmp_path)
    assert [row["scores.short"] for row in from_jsonl(tmp_path / "x.jsonl")] == [0.25]
