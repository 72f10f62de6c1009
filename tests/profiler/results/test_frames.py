"""A run as one table in memory: the rows that an export writes, with their types."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

import profiler
from profiler.core.errors import UsageError
from profiler.results.export import export
from profiler.results.frames import Run
from tests.profiler.results.runs import finished

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return profiler.read_run(finished(tmp_path_factory.mktemp("run")).folder)


def test_a_table_of_arrow_is_what_a_parquet_file_holds(run: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(run, str(tmp_path / "x.parquet"), to="parquet")
    assert run.to_arrow().equals(parquet.read_table(tmp_path / "x.parquet"))


def test_a_frame_has_the_values_of_an_export_with_their_types(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    export(run, str(tmp_path / "x.jsonl"), to="jsonl")
    exported = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    frame = run.to_pandas()
    assert list(frame.columns) == list(exported[0])
    assert json.loads(frame.to_json(orient="records", double_precision=15)) == exported
    kinds = {name: str(frame[name].dtype) for name in ("scores.numeric", "metadata.level", "latency_s", "tags")}
    assert kinds == {
        "scores.numeric": "boolean",
        "metadata.level": "Int64",
        "latency_s": "float64",
        "tags": "object",
    }


def test_texts_and_columns_can_stay_out(run: Run) -> None:
    pytest.importorskip("pandas")
    names = set(run.to_pandas(texts=False, drop=["tags"]).columns)
    assert "dialogue_id" in names
    assert not names & {"question", "answer", "tags", "metadata.topic"}


@pytest.mark.parametrize(("method", "package"), [("to_pandas", "pandas"), ("to_arrow", "pyarrow")])
def test_what_is_missing_is_said(run: Run, method: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs {package}"):
        getattr(run, method)()


def test_whole_numbers_without_a_sign_stay_whole(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    run = profiler.read_run(finished(tmp_path, extra={"hash": 2**64 - 1, "small": 2**63 - 1}).folder)
    frame = run.to_pandas()
    assert frame["metadata.hash"][0] == 2**64 - 1
    assert frame["metadata.small"].dtype == "Int64"
    assert frame["cost_usd"].dtype == "float64"  # though nobody knows what it cost
