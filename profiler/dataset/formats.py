"""Reads JSON, JSON Lines and CSV into one kind of stream: for every row its line and its Dialogue.

For a wrong row the Dialogue is None, and its faults go to the reporter. Only a piece of the file is in memory.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from profiler.core.errors import Problem
from profiler.dataset.decode import Decoder, from_mapping, loads
from profiler.dataset.explain import Rejected, RowFault, missing
from profiler.dataset.json_array import Broken, elements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader

    from profiler.core.nouns import Dialogue
    from profiler.dataset.fields import Renaming

    Item = tuple[int, Dialogue | None]
    Report = Callable[[Problem], None]

LONGEST = 64 << 20  # bytes of one dialogue, so that a file which is not what its name says cannot fill the memory
SHOWN_SOURCE = 160
SHOWN_CELL = 40
HEADER_BYTES = 1 << 14
LISTS = 'lists are separated by ; or |, or written as JSON: ["a", "b"]'
_LISTS = {"turns", "required_facts", "tags"}
JSON_CELLS = {"messages", "metadata", "request"}


class Reporter:
    """Turns the faults of a row into problems with a place in the file.

    What was understood in another way than it is written is remarked on once for each key.
    """

    def __init__(
        self, path: str, report: Report, remark: Report | None = None, *, renaming: Renaming | None = None
    ) -> None:
        self._path = path
        self._report = report
        self._remark = remark
        self.renaming = renaming
        self._remarked: set[str] = set()

    def once(self, about: str, message: str, *, line: int) -> None:
        if self._remark is not None and about not in self._remarked:
            self._remarked.add(about)
            self._remark(Problem(path=self._path, line=line, message=f"{about}: {message}"))

    def renamed(self, row: dict[str, Any], *, number: int) -> dict[str, Any]:
        """The row with its keys renamed to those of a dialogue (`dataset_fields`)."""
        return row if self.renaming is None else self.renaming.row(row, number)

    def decoded(self, value: Any, *, line: int) -> Dialogue:
        """The dialogue in a row that is a mapping already; None if the row is wrong."""
        return from_mapping(value, numbered=lambda number: self.numbered(number, line=line))

    def numbered(self, number: int, *, line: int) -> None:
        self.once("dialogue_id", f"found {number} (a whole number), taken as the text {str(number)!r}", line=line)

    def row(self, faults: Rejected, *, line: int, column: int = 1, raw: bytes = b"") -> None:
        for fault in faults.faults:
            if fault.offset is None:
                self.at(fault.message, line=line, hint=fault.hint)
            else:
                self._inside(fault, line=line, column=column, raw=raw)

    def at(
        self,
        message: str,
        *,
        line: int | None,
        column: int | None = None,
        hint: str | None = None,
        source: str | None = None,
    ) -> None:
        self._report(Problem(path=self._path, message=message, line=line, column=column, hint=hint, source=source))

    def _inside(self, fault: RowFault, *, line: int, column: int, raw: bytes) -> None:
        before, after = raw[: fault.offset], raw[fault.offset :]
        down = before.count(b"\n")
        text = before[before.rfind(b"\n") + 1 :].decode(errors="replace")
        whole = text + after[: SHOWN_SOURCE * 4].split(b"\n")[0].decode(errors="replace").rstrip()
        # A caret under a cut, shifted or unprintable line would point at the wrong character.
        shows = len(whole) <= SHOWN_SOURCE and whole.isprintable() and (down > 0 or column == 1)
        self.at(
            fault.message,
            line=line + down,
            column=len(text) + (1 if down else column),
            hint=fault.hint,
            source=whole if shows else None,
        )


def json_lines(stream: IO[bytes], *, start: int, report: Reporter, line: int = 1) -> Iterator[Item]:
    """The rows from where the stream stands, which is the beginning of this line; `start` of them are skipped."""
    number = 0
    decode = Decoder(None if report.renaming is None else lambda row: report.renamed(row, number=number))
    decode.numbered = lambda found: report.numbered(found, line=number)
    lines = enumerate(iter(partial(stream.readline, LONGEST), b""), line)
    _skip((1 for _, raw in lines if not raw.isspace()), start)
    for number, raw in lines:
        try:
            dialogue = decode(raw)
        except Rejected as faults:
            # Blank lines are looked for only here, after an error: most lines need not be checked for that.
            if raw.isspace():
                continue
            if len(raw) == LONGEST:
                report.at(_too_long(), line=number)
                return
            report.row(faults, line=number, raw=raw)
            yield number, None
        else:
            yield number, dialogue


def json_array(stream: IO[bytes], *, start: int, report: Reporter) -> Iterator[Item]:
    number = line = 0
    decode = Decoder(None if report.renaming is None else lambda row: report.renamed(row, number=number))
    decode.numbered = lambda found: report.numbered(found, line=line)
    try:
        found = itertools.islice(elements(stream, longest=LONGEST), start, None)
        # An element need not begin on a line of its own, so its number is its place in the array.
        for number, (line, column, raw) in enumerate(found, start + 1):  # noqa: B007 (the renaming reads it)
            try:
                dialogue = decode(raw)
            except Rejected as faults:
                report.row(faults, line=line, column=column, raw=raw)
                yield line, None
            else:
                yield line, dialogue
    except Broken as broken:
        _report_broken(broken, report)


def tsv_rows(stream: BufferedReader[Any], *, start: int, report: Reporter) -> Iterator[Item]:
    return csv_rows(stream, start=start, report=report, delimiter="\t")


def csv_rows(
    stream: BufferedReader[Any], *, start: int, report: Reporter, delimiter: str | None = None
) -> Iterator[Item]:
    """CSV. Without a `delimiter` the header shows it, because many spreadsheets write semicolons."""
    # This limit of the csv module holds for the whole process. Its default would refuse long texts.
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    rows = _csv_cells(stream, report, delimiter=delimiter or _delimiter(stream.peek(HEADER_BYTES)))
    _, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    if not _header_is_sound(names, report):
        return
    for line, cells in itertools.islice(rows, start, None):
        try:
            row = report.renamed(_csv_cells_by_name(names, cells), number=line)
            dialogue = from_mapping(
                {name: _csv_value(name, cell, line=line, report=report) for name, cell in row.items()}
            )
        except Rejected as faults:
            report.row(faults, line=line)
            yield line, None
        else:
            yield line, dialogue


def _skip(lines: Iterator[int], count: int) -> None:
    next(itertools.islice(lines, count, count), None)


def _too_long() -> str:
    return f"a line longer than {LONGEST >> 20} MiB; expected one dialogue a line"


def _report_broken(broken: Broken, report: Reporter) -> None:
    try:
        loads(broken.raw or b"[]")
    except Rejected as faults:
        inside = faults.faults[0]
        if inside.offset is not None and inside.offset < len(broken.raw.rstrip()):
            report.row(faults, line=broken.line, column=broken.column, raw=broken.raw)
            return
    report.at(broken.message, line=broken.line, column=broken.column, hint=broken.hint)


def _delimiter(begin: bytes) -> str:
    header = begin.split(b"\n", 1)[0]
    return next((mark for mark in (",", ";", "\t") if mark.encode() in header), ",")


def _csv_cells(stream: IO[bytes], report: Reporter, *, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line on which it starts."""
    begin = 1
    reader = csv.reader(_decoded(stream), strict=True, delimiter=delimiter)
    try:
        for cells in reader:
            if cells:
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        report.at(f"not valid CSV in the row that starts here: {error}", line=begin)
    except UnicodeDecodeError as error:
        line = reader.line_num + 1
        report.at(f"not valid UTF-8: byte 0x{error.object[error.start]:02x}, {error.reason}", line=line)
    except _NulByte:
        report.at("a NUL byte; expected text", line=reader.line_num + 1)


class _NulByte(Exception):
    pass


def _decoded(stream: IO[bytes]) -> Iterator[str]:
    for line in iter(partial(stream.readline, LONGEST), b""):
        if b"\0" in line:
            raise _NulByte
        yield line.decode()


def _header_is_sound(names: list[str], report: Reporter) -> bool:
    if not names:
        report.at("the file is empty, expected a header with the names of the columns", line=1)
        return False
    messages = [f"column {name!r} appears {times} times" for name, times in Counter(names).items() if times > 1]
    messages += [f"column {number} has no name" for number, name in enumerate(names, 1) if not name]
    for message in messages:
        report.at(message, line=1)
    absent = []
    if not messages and report.renaming is not None:
        absent = list(report.renaming.columns(names))
        names = report.renaming.header(names)
    if not messages and not absent:
        absent = list(missing(names))
    for fault in absent:
        report.at(f"in the header: {fault.message}", line=1, hint=fault.hint)
    return not messages and not absent


def _csv_cells_by_name(names: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(names):
        raise Rejected(RowFault(message=f"expected {len(names)} cells as in the header, found {len(cells)}"))
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell}


def _csv_value(name: str, cell: Any, *, line: int, report: Reporter) -> Any:
    if not isinstance(cell, str):
        return cell  # metadata that the renaming has collected
    if name in JSON_CELLS or (name in _LISTS and cell.startswith("[")):
        return json_cell(name, cell)
    if name in _LISTS:
        return _csv_list(name, cell, line=line, report=report)
    if name == "expect_refusal":
        return {"true": True, "false": False}.get(cell.strip().lower(), cell)
    return cell


def _csv_list(name: str, cell: str, *, line: int, report: Reporter) -> list[str]:
    """The texts of a list written with `|` or `;`. Says so when it could be meant in another way."""
    mark = next((mark for mark in "|;" if mark in cell), "|")
    parts = [part.strip() for part in cell.split(mark) if part.strip()]
    shown = repr(cell if len(cell) <= SHOWN_CELL else cell[:SHOWN_CELL] + "…")
    if mark == ";" and len(parts) > 1:
        report.once(name, f"found {shown}, taken as a list of {len(parts)}; {LISTS}", line=line)
    elif len(parts) == 1 and ("," in cell or "\n" in cell):
        report.once(name, f"found {shown}, taken as one text; {LISTS}", line=line)
    return parts


def json_cell(name: str, cell: str) -> Any:
    try:
        return loads(cell.encode())
    except Rejected as faults:
        raise Rejected(*(RowFault(message=f"{name}: {fault.message}") for fault in faults.faults)) from None
