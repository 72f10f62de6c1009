"""Prints a table: by rich on a terminal that can show it, else as plain aligned columns with the same text.

On a terminal that is too narrow the table is turned, so that rows become columns, and is cut into parts. No number or
name is ever broken.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import unicodedata
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Row = tuple[str, ...]
NOTHING: Final = "-"
BETWEEN: Final = 2  # spaces
RICH_EDGES: Final = 2
LONGEST_TURNED: Final = 24  # a longer name is replaced by a number when the table is turned on its side


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table with its title, caption, and notes below. A cell may have several lines, title and caption too."""

    title: str
    caption: str
    header: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def draw(tables: Sequence[Table], *, file: TextIO, plain: bool | None = None, width: int | None = None) -> None:
    """Print tables. `plain` None decides by the file: rich needs to be installed, and a terminal with UTF-8.

    What is not a terminal is taken to be as wide as necessary.
    """
    drawer = _draw_plain if plain or (plain is None and not _can_show_rich(file)) else _draw_rich
    if width is None and file.isatty():
        width = shutil.get_terminal_size().columns
    for table in tables:
        for part in fitted(table, width=width):
            drawer(part, file=file)


def fitted(table: Table, *, width: int | None) -> Iterator[Table]:
    """The table as it is if it fits, else turned and cut into as many parts as necessary."""
    if width is None or len(table.header) < 5 or _needed(table) <= width:
        yield table
        return
    names = [row[0] for row in table.rows]
    legend: list[str] = []
    if max(map(_width, names)) > LONGEST_TURNED:
        legend = [f"[{number}] {name}" for number, name in enumerate(names, 1)]
        names = [f"[{number}]" for number in range(1, len(names) + 1)]
    turned = [(title, *cells) for title, *cells in zip(table.header[1:], *[row[1:] for row in table.rows], strict=True)]
    parts = list(_parts(names, turned, room=width - RICH_EDGES))
    for number, (first, last) in enumerate(parts):
        yield Table(
            title=table.title if number == 0 else "",
            caption=table.caption if number == 0 else "",
            header=(table.header[0], *names[first:last]),
            rows=tuple((row[0], *row[1 + first : 1 + last]) for row in turned),
            notes=(*legend, *table.notes) if number == len(parts) - 1 else (),
        )


def _parts(names: Sequence[str], turned: Sequence[Row], *, room: int) -> Iterator[tuple[int, int]]:
    """The first and last column of each part; every part has at least one."""
    label = max(_widest(row[0]) for row in turned)
    widths = [max(_width(name), *(_widest(row[1 + at]) for row in turned)) for at, name in enumerate(names)]
    first = 0
    while first < len(names):
        last, used = first, label
        while last < len(names) and (last == first or used + BETWEEN + widths[last] <= room):
            used += BETWEEN + widths[last]
            last += 1
        yield first, last
        first = last


def _needed(table: Table) -> int:
    columns = zip(table.header, *table.rows, strict=True)
    return sum(max(map(_widest, column)) + BETWEEN for column in columns) + RICH_EDGES


def _widest(cell: str) -> int:
    return max(map(_width, cell.split("\n")))


def _can_show_rich(file: TextIO) -> bool:
    encoding = (getattr(file, "encoding", None) or "").lower().replace("-", "").replace("_", "")
    return file.isatty() and encoding == "utf8" and importlib.util.find_spec("rich") is not None


def number_cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else NOTHING


def count_cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else NOTHING


def clean(text: str) -> str:
    """The text without control characters: names come from files, and an escape sequence must not reach the terminal."""
    return "".join("?" if unicodedata.category(char).startswith("C") else char for char in text)


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _draw_plain(table: Table, *, file: TextIO) -> None:
    encoding = getattr(file, "encoding", None) or "utf-8"

    def shown(text: str) -> str:
        if not encoding.lower().startswith("utf"):
            text = text.replace("≥", ">=").replace("≤", "<=")
        return clean(text).encode(encoding, "backslashreplace").decode(encoding)

    def shown_cell(text: str) -> str:
        return "\n".join(map(shown, text.split("\n")))

    lines = [tuple(map(shown_cell, row)) for row in (table.header, *table.rows)]
    widths = [max(map(_widest, column)) for column in zip(*lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    body = [line for row in (lines[0], rule, *lines[1:]) for line in _aligned(row, widths)]
    head = [*map(shown_cell, filter(None, (table.title, table.caption))), ""] if table.title else []
    notes = ["", *map(shown, table.notes)] if table.notes else []
    file.write("\n".join([*head, *body, *notes]) + "\n\n")


def _clean_lines(text: str) -> str:
    return "\n".join(map(clean, text.split("\n")))


def _aligned(row: Row, widths: list[int]) -> Iterator[str]:
    """The first column has names and is aligned left; the others have numbers and are aligned right."""
    cells = [cell.split("\n") for cell in row]
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        spaces = [" " * (width - _width(text)) for text, width in zip(texts, widths, strict=True)]
        others = [space + text for text, space in zip(texts[1:], spaces[1:], strict=True)]
        yield (" " * BETWEEN).join([texts[0] + spaces[0], *others]).rstrip()


def _draw_rich(table: Table, *, file: TextIO) -> None:
    # Imported here: it costs 40 ms, and a run without a terminal never needs it.
    from rich import box, console, table as rich_table, text  # noqa: I001, PLC0415

    screen = console.Console(file=file, no_color=True if os.environ.get("NO_COLOR") else None, highlight=False)
    colour = "bold yellow" if "MODE: LIVE" not in table.caption else "bold green"
    drawn = rich_table.Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )
    for position, name in enumerate(table.header):
        drawn.add_column(text.Text(clean(name)), justify="right" if position else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*[text.Text(_clean_lines(cell)) for cell in row])
    if table.title:
        screen.print(text.Text(_clean_lines(table.title), style="bold"))
        screen.print(text.Text(_clean_lines(table.caption), style=colour))
        screen.print()
    screen.print(drawn)
    if table.notes:
        screen.print()
    for note in table.notes:
        too_long = max(map(len, note.split()), default=0) > screen.width  # without soft wrap rich would break the word
        screen.print(text.Text(clean(note)), soft_wrap=too_long)
    screen.print()
