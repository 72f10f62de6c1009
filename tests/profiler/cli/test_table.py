from __future__ import annotations

import io

import pytest

from profiler.cli.table import Table, draw, fitted

WIDE = Table(
    title="Title",
    caption="MODE: MOCK",
    header=("experiment", "a metric", "another one", "n", "cost"),
    rows=tuple((f"experiment-{number}", "0.5000\n0.400..0.600", "1.0000", "12", "$0.10") for number in range(5)),
    notes=("a note",),
)


def drawn(table: Table, width: int | None) -> str:
    file = io.StringIO()
    draw([table], file=file, plain=True, width=width)
    return file.getvalue()


@pytest.mark.parametrize("width", [None, 200])
def test_a_table_that_fits_stays_as_it_is(width: int | None) -> None:
    assert list(fitted(WIDE, width=width)) == [WIDE]


def test_a_narrow_terminal_gets_rows_as_columns_a_few_at_a_time() -> None:
    parts = list(fitted(WIDE, width=50))
    assert [part.header for part in parts] == [
        ("experiment", "experiment-0", "experiment-1"),
        ("experiment", "experiment-2", "experiment-3"),
        ("experiment", "experiment-4"),
    ]
    assert [row[0] for row in parts[0].rows] == ["a metric", "another one", "n", "cost"]
    assert parts[2].rows[0] == ("a metric", "0.5000\n0.400..0.600")
    assert [part.title for part in parts] == ["Title", "", ""]
    assert [part.notes for part in parts] == [(), (), ("a note",)]


def test_a_name_that_has_no_room_gets_a_number_and_a_legend() -> None:
    name = "x" * 40
    rows = ((name, *WIDE.rows[0][1:]), *WIDE.rows[1:])
    (*_, last) = fitted(Table(title="t", caption="", header=WIDE.header, rows=rows), width=50)
    assert last.notes[0] == f"[1] {name}"
    assert max(map(len, drawn(last, None).splitlines())) <= 50


def test_a_column_wider_than_the_terminal_stands_alone() -> None:
    rows = tuple((name, "9" * 60, "1", "2", "3") for name in "ab")
    assert len(list(fitted(Table(title="t", caption="", header=WIDE.header, rows=rows), width=50))) == 2


@pytest.mark.parametrize("plain", [True, False])
def test_whatever_the_width_no_line_is_too_long_and_no_word_is_broken(
    monkeypatch: pytest.MonkeyPatch, *, plain: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for width in range(40, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        file = io.StringIO()
        draw([WIDE], file=file, plain=plain, width=width)
        assert max(map(len, file.getvalue().splitlines())) <= width
        words = file.getvalue().split()
        assert [words.count(word) for word in ("0.5000", "0.400..0.600", "experiment-3")] == [5, 5, 1], width


def test_a_cell_of_two_lines_lines_up() -> None:
    lines = drawn(WIDE, None).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("experiment-0"))
    assert lines[first].index("0.5000") + 6 == lines[first + 1].index("0.400..0.600") + 12
