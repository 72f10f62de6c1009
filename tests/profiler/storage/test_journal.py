from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from profiler.core.errors import LogError, RunDirectoryError
from profiler.core.nouns import Failure
from profiler.storage import journal
from profiler.storage.journal import FORMAT, Entry, Failed, Header
from profiler.storage.line_file import LineFile
from profiler.storage.names import JOURNAL
from tests.profiler.building import line_of, record

HEADER = Header(journal=FORMAT, count=5, identity={"model": "m", "mock": {"seed": 0}}, started=None)


def written(folder: Path, body: bytes = b"") -> Path:
    path = folder / JOURNAL
    with LineFile(path) as file:
        journal.begin(file, HEADER)
        file.write(body)
    return path


def replayed(path: Path) -> list[tuple[int, str, bytes]]:
    text = path.read_bytes()
    return [
        (place.entry.index, place.entry.type, text[place.offset : place.offset + place.size])
        for place in journal.Replay(path, count=HEADER.count)
    ]


def test_a_header_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert journal.read_header(path) == HEADER
    assert journal.header_size(path) == path.stat().st_size


def test_to_begin_is_to_start_over(tmp_path: Path) -> None:
    path = written(tmp_path, line_of(record(0)))
    with LineFile(path) as file:
        journal.begin(file, HEADER)
    assert replayed(path) == []


def test_every_record_is_replayed_with_its_place(tmp_path: Path) -> None:
    lines = [line_of(record(3)), line_of(record(0, type="refusal", cost_usd=0.5)), line_of(record(3, type="error"))]
    path = written(tmp_path, b"".join(lines))
    assert replayed(path) == [(3, "answer", lines[0]), (0, "refusal", lines[1]), (3, "error", lines[2])]
    assert [place.entry for place in journal.Replay(path, count=5)][1] == Entry(index=0, type="refusal", cost_usd=0.5)


def test_the_first_failure_is_told_by_its_last_error(tmp_path: Path) -> None:
    failures = [Failure(type=kind, message="m") for kind in ("authentication", "overloaded", "timeout")]
    records = [
        *(record(index, type="error", error=failures[0]) for index in (2, 1, 0)),
        record(2),
        *(record(index, type="error", error=failures[place]) for index, place in ((0, 2), (1, 1))),
    ]
    path = written(tmp_path, b"".join(map(line_of, records)))
    assert journal.first_failure(path) == Failed("d1", 1, failures[1])
    assert journal.first_failure(written(tmp_path, line_of(record(0)))) is None


@pytest.mark.parametrize("length", range(len(b'{"journal":1')))
def test_a_header_that_is_not_whole_is_no_run(tmp_path: Path, length: int) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(b'{"journal":1'[:length])
    assert journal.read_header(path) is None


def test_another_format_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(b'{"journal":1,"count":1,"identity":{},"started":null}\n')
    with pytest.raises(
        RunDirectoryError, match="an unfinished run of journal format 1, this version writes 2"
    ) as caught:
        journal.read_header(path)
    assert "--fresh" in str(caught.value.hint)


@pytest.mark.parametrize(
    "header",
    [
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 5000 + b"\n",
        b'{"journal":2,"count":1,"identity":%b,"started":null}\n' % (b'{"a":' * 5000),
        b'{"journal":2,"count":-1,"identity":{},"started":null}\n',
    ],
)
def test_a_first_line_that_is_no_header_is_damage(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(header)
    with pytest.raises(LogError, match=r"journal.jsonl:1: found a line") as caught:
        journal.read_header(path)
    assert caught.value.problems[0].hint == "start over with --fresh"


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(min_value=1, max_value=200))
def test_a_torn_last_line_is_not_there(cut: int) -> None:
    first, last = line_of(record(0)), line_of(record(1))
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), first + last[: -min(cut, len(last))])
        assert replayed(path) == [(0, "answer", first)]


def test_what_a_power_cut_leaves_at_the_end_is_a_torn_tail(tmp_path: Path) -> None:
    first = line_of(record(0))
    path = written(tmp_path, first + b'{"index":1,"ty\n' + b"\0" * 40)
    assert replayed(path) == [(0, "answer", first)]


@pytest.mark.parametrize("bad", [b"\n", b"nonsense\n", b"\xff\xfe\n", b"[" * 5000 + b"\n", b'{"index":1,"type":"x"}\n'])
def test_a_bad_line_before_a_whole_one_is_damage_with_its_place(tmp_path: Path, bad: bytes) -> None:
    path = written(tmp_path, line_of(record(0)) + bad + line_of(record(1)))
    with pytest.raises(LogError, match=r"journal.jsonl:3: found a line that is no record"):
        replayed(path)


@pytest.mark.parametrize("index", [-1, 5, 10**30])
def test_a_record_of_no_dialogue_is_damage(tmp_path: Path, index: int) -> None:
    path = written(tmp_path, line_of(record(index)) + line_of(record(0)))
    with pytest.raises(LogError, match=r"journal.jsonl:2"):
        replayed(path)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=80))
@example(content=b"\n\n\n")
@example(content=b'{"journal":1,"count":3,"identity":{},"started":null}\n{"index":0,"type":"answer"}\n\xff')
def test_hostile_bytes_are_refused_or_read_but_never_a_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / JOURNAL
        path.write_bytes(content)
        with suppress(LogError, RunDirectoryError):
            if journal.read_header(path) is not None:
                replayed(path)


def test_sessions_stand_between_the_records_and_are_none(tmp_path: Path) -> None:
    began, ended = {"started": "09:00"}, {"started": "09:00", "finished": "10:00", "answered": 1}
    lines = [journal.session_line(began), line_of(record(0)), journal.session_line(ended), journal.session_line(began)]
    path = written(tmp_path, b"".join(lines))
    records = journal.Replay(path, count=5)
    assert [place.entry.index for place in records] == [0]
    assert records.sessions == [ended, began]
    assert records.end == path.stat().st_size


def test_a_session_line_that_is_torn_is_a_torn_tail(tmp_path: Path) -> None:
    path = written(tmp_path, line_of(record(0)) + journal.session_line({"started": "now"})[:-4])
    records = journal.Replay(path, count=5)
    assert len(list(records)) == 1
    assert (records.sessions, records.end) == (
        [],
        path.stat().st_size - len(journal.session_line({"started": "now"})) + 4,
    )


def test_of_several_bad_lines_the_first_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, b"one\ntwo\n" + line_of(record(0)))
    with pytest.raises(LogError, match=r"journal.jsonl:2: "):
        list(journal.Replay(path, count=5))


def test_a_torn_line_ends_the_records_even_if_the_rest_of_it_is_written_meanwhile(tmp_path: Path) -> None:
    lines = line_of(record(0)) + line_of(record(1)) + line_of(record(2))
    path = written(tmp_path, lines[:-60])
    records = iter(journal.Replay(path, count=5))
    next(records)
    with path.open("ab") as more:
        more.write(lines[-60:] + line_of(record(3)))
    assert [place.entry.index for place in records] == [1]


PIECES = {
    "record": line_of(record(1)),
    "session": journal.session_line({"started": "now"}),
    "bad": b"nonsense\n",
    "nobody's": line_of(record(7)),
    "torn": line_of(record(2))[:-9],
    "whole, but torn": line_of(record(2))[:-1],
}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from([*PIECES]), max_size=12))
@example(pieces=["record"] * 3 + ["bad", "bad", "record"])
@example(pieces=["record"] * 3 + ["session", "torn"])
def test_the_size_of_what_is_read_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, pieces: list[str]) -> None:
    def said() -> object:
        records = journal.Replay(path, count=5)
        try:
            places = [(place.entry.index, place.offset, place.size) for place in records]
        except LogError as error:
            return str(error)
        return places, records.sessions, records.end

    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), b"".join(map(PIECES.__getitem__, pieces)))
        found = []
        for size in (1, 300, 1 << 16):
            monkeypatch.setattr(journal, "BLOCK", size)
            found.append(said())
    assert found[0] == found[1] == found[2]
