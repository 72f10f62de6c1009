"""profiler.dataset.file: every format reads the same, whole or damaged, from any place and in little memory."""

from __future__ import annotations

import importlib.util
import itertools
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import DatasetError, ProfilerError
from profiler.dataset import file as dataset
from profiler.dataset.selection import Selection
from profiler.dataset.unchanged import fingerprint
from tests.profiler.dataset.files import ENCODE, HAS_PYARROW, Row, as_lines, problem_of, problems_of, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property; each overwrites its file."""
    return tmp_path_factory.mktemp("dataset")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
TEXTS = st.lists(TEXT, min_size=1, max_size=3)
ID = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)
MESSAGES = TEXTS.map(lambda texts: [{"role": "user", "content": text} for text in texts])
QUESTION = st.one_of(
    st.fixed_dictionaries({"user": TEXT}),
    st.fixed_dictionaries({"turns": TEXTS}),
    st.fixed_dictionaries({"messages": MESSAGES}),
)

OPTIONAL = st.fixed_dictionaries(
    {},
    optional={
        "system": TEXT,
        "required_facts": TEXTS,
        "tags": TEXTS,
        "expect_refusal": st.booleans(),
        "metadata": st.dictionaries(TEXT.map(lambda key: "m" + key), st.integers(-9, 9), min_size=1, max_size=3),
        "own": TEXT,
    },
)

ROWS = st.lists(
    st.builds(lambda name, ask, rest: {"dialogue_id": name, **ask, **rest}, ID, QUESTION, OPTIONAL),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row["dialogue_id"],
)


@given(rows=ROWS, start=st.integers(0, 9))
@settings(max_examples=60)
def test_every_format_reads_the_same_from_any_start(folder: Path, rows: list[Row], start: int) -> None:
    expected = list(dataset.read(write(folder / "d.jsonl", as_lines(rows))))
    assert [dialogue.dialogue_id for dialogue in expected] == [row["dialogue_id"] for row in rows]
    for suffix, encode in ENCODE.items():
        path = write(folder / f"d.{suffix}", encode(rows))
        assert list(dataset.read(path)) == expected
        assert list(dataset.read(path, start=start)) == expected[start:]
        assert dataset.survey(path).count == len(expected)


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow, an optional extra, is not installed")
@given(rows=ROWS, start=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_parquet_reads_like_json_lines(folder: Path, rows: list[Row], start: int) -> None:
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    expected = list(dataset.read(write(folder / "d.jsonl", as_lines(rows))))
    table = [
        {key: json.dumps(value) if key in {"metadata", "messages"} else value for key, value in row.items()}
        for row in rows
    ]
    names = dict.fromkeys(itertools.chain(*table))
    path = folder / "d.parquet"
    columns = {name: [row.get(name) for row in table] for name in names}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    assert list(dataset.read(path)) == expected
    assert list(dataset.read(path, start=start)) == expected[start:]
    assert dataset.survey(path).sha256 == fingerprint(path)


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow, an optional extra, is not installed")
@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_what_is_not_parquet_is_a_problem(folder: Path, data: bytes) -> None:
    for content in (data, b"PAR1" + data + b"PAR1"):
        assert "not a Parquet file" in problems_of(write(folder / "d.parquet", content))[0].message


@st.composite
def damaged(draw: st.DrawFn, suffix: str) -> bytes:
    """A good file with a few bytes replaced, removed or put in."""
    data = bytearray(ENCODE[suffix](draw(ROWS)))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 4))
        data[at : at + length] = draw(
            st.sampled_from([b'"', b"}", b"]", b"\\", b"{", b"\n", b"\xff", b"\0", b"1", b""])
        )
    return bytes(data)


@pytest.mark.parametrize("suffix", ENCODE)
@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_read_or_refused_with_a_place(folder: Path, suffix: str, data: st.DataObject) -> None:
    content = data.draw(st.one_of(st.binary(max_size=60), damaged(suffix)))
    path = write(folder / f"damaged.{suffix}", content)
    try:
        survey = dataset.survey(path)
    except DatasetError as error:
        problems = error.problems
    else:
        problems = ()
        assert len(list(dataset.read(path))) == survey.count
    assert all(problem.path == str(path) for problem in problems)
    assert all(problem.line or "empty" in problem.message or suffix == "jsonl.gz" for problem in problems)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.jsonl"
        with path.open("wb") as file:
            file.writelines(b'{"dialogue_id":"%d","user":"x"}\n' % number for number in range(count))
        tracemalloc.start()
        assert dataset.survey(path).count == count
        assert sum(1 for _ in dataset.read(path)) == count
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(60_000) < 1_700_000  # the file has 2 MB, its dialogues many times as much


@pytest.mark.parametrize("name", ["d.json", "d.csv"])
def test_arrays_and_tables_are_streamed_too(tmp_path: Path, name: str) -> None:
    rows = [{"dialogue_id": str(number), "user": "x" * 500} for number in range(20_000)]
    path = write(tmp_path / name, ENCODE[name.partition(".")[2]](rows))
    tracemalloc.start()
    assert sum(1 for _ in dataset.read(path)) == len(rows)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert highest < 2_000_000 < path.stat().st_size


def test_a_line_without_end_costs_bounded_memory_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.dataset.formats.LONGEST", 1 << 20)
    path = write(tmp_path / "d.jsonl", b'{"dialogue_id": "a", "user": "' + b"x" * (3 << 20) + b'"}\n')
    assert "longer than 1 MiB" in problem_of(path).message


def test_every_error_is_one_a_command_can_answer() -> None:
    assert issubclass(DatasetError, ProfilerError)


@pytest.mark.parametrize(
    "selection", [Selection(sample=7), Selection(sample=9, limit=4), Selection(tags=("t",)), Selection()]
)
def test_what_is_selected_is_read_on_from_any_place(tmp_path: Path, selection: Selection) -> None:
    rows: list[Row] = [{"dialogue_id": f"d{n}", "user": "x", "tags": ["t"] if n % 3 else []} for n in range(30)]
    path = write(tmp_path / "d.jsonl", as_lines(rows))

    def ids(start: int) -> list[str]:
        with dataset.reading(path, start=start, selection=selection) as dialogues:
            return [each.dialogue_id for each in dialogues]

    whole = ids(0)
    assert 3 < len(whole) <= 30
    if not selection.is_all:
        assert dataset.survey(path, selection=selection).count == len(whole)
    for start in range(len(whole) + 1):
        assert ids(start) == whole[start:]
