"""Reads a prompt as a careful modeller does: what each column is, and whether it is known at the time of prediction.

It uses only the text. The story gives the day of each event. The words about a column are turned into the day on which
it is known, which is compared with the day of the prediction. All this rests on grammar: no name, meaning or event of
any family of stories is known here, so the reader is as good on a family that it never met.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Judge = Callable[[str, bool], bool]  # a column, and whether the words say that it is late

UNITS = {"day": 1, "days": 1, "week": 7, "weeks": 7}
WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
NUMBERS = {word: number for number, word in enumerate(WORDS)} | {"a": 1, "an": 1}
LENGTH = rf"(?P<n>\d+|{'|'.join(NUMBERS)}) (?P<unit>{'|'.join(sorted(UNITS, reverse=True))})"
OWN_ROW = re.compile(
    r"(?<!not )(?<!never )\b(this one|its own outcome|the \w+ itself)\b[^;|]{0,20}\b(included|among|counted)\b"
    r"|without leaving (it|this one|the \w+)? ?(itself )?out|without leaving out|later ones included|after the outcome"
)
CYCLES = {"hour of the day": 24, "day of the week": 7, "month of the year": 12}
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<type>[^|]+) \| (?P<meaning>.*) \|$", re.MULTILINE)
EVENT = re.compile(r"^- \*\*(?P<noun>[^*]+)\*\*: (?P<clause>.*), (?P<when>[^,]*)$", re.MULTILINE)
MADE = re.compile(r"[Tt]he prediction is made (?P<when>.*)$", re.MULTILINE)
SAME_TIME = re.compile(r"(together with|same form as|same day as|same time as) `(?P<other>[^`]+)`")
CENTS = (
    (re.compile(r"cents where `(?P<month>[^`]+)` is below (?P<n>\d+)"), 0),
    (re.compile(r"up to `(?P<month>[^`]+)` (?P<n>\d+)[^;|]*cents"), 1),
    (re.compile(r"euros only from `(?P<month>[^`]+)` (?P<n>\d+) on"), 0),
)


@dataclass(slots=True, kw_only=True)
class Notes:
    """What the reader found out. `late` columns must not be used."""

    numeric: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    amounts: list[str] = field(default_factory=list)
    cycles: dict[str, int] = field(default_factory=dict)
    group: str | None = None
    month: str | None = None
    in_cents: str | None = None
    euros_from: int = 0


def believe(_: str, is_late: bool) -> bool:
    return is_late


class Reader:
    """One prompt, read once."""

    def __init__(self, prompt: str) -> None:
        self._days: dict[str, int] = {}
        for event in EVENT.finditer(prompt):
            day = self._day(event["when"])
            for words in (event["noun"], event["clause"]):
                self._days[words.lower()] = 0 if day is None else day
        made = MADE.search(prompt)
        self.made_on = None if made is None else self._day(made["when"])
        self.rows = [(row["name"], row["type"].strip(), row["meaning"]) for row in ROW.finditer(prompt)]

    def is_late(self, name: str) -> bool:
        """Whether a column is known only after the prediction. One that does not say when counts as known."""
        meaning = {row[0]: row[2] for row in self.rows}[name].lower()
        if OWN_ROW.search(meaning):
            return True
        day = self._day(meaning)
        if day is None and (same := SAME_TIME.search(meaning)) and same["other"] != name:
            return self.is_late(same["other"])
        return day is not None and self.made_on is not None and day >= self.made_on

    def _day(self, text: str) -> int | None:
        """The day that some words name: the end of a stretch of time, or a moment."""
        text = text.lower()
        if found := re.search(r"\bon day (\d+)", text):
            return int(found[1])
        mentions = self._mentions(text)
        if not mentions:
            return None
        start, end, day = mentions[-1]
        return day + self._offset(text[:start], text[end:])

    def _mentions(self, text: str) -> list[tuple[int, int, int]]:
        """Where events are named, with their days. Of names within names only the longest counts."""
        found: list[tuple[int, int, int]] = []
        for words in sorted(self._days, key=len, reverse=True):
            for match in re.finditer(rf"\b{re.escape(words)}\b", text):
                if not any(start < match.end() and match.start() < end for start, end, _ in found):
                    found.append((match.start(), match.end(), self._days[words]))
        return sorted(found)

    def _offset(self, before: str, after: str) -> int:
        """How many days after the event the moment is; the event is named between the two texts."""
        if later := re.match(rf" until {LENGTH} later", after):
            return _days_of(later)
        if found := re.search(rf"{LENGTH} (after|that follow|have gone by since|following) $", before):
            return _days_of(found)
        if found := re.search(rf"(?P<over>(over|in|during) the )?{LENGTH} (before|up to) $", before):
            return 0 if found["over"] else -_days_of(found)
        return 0


def read(prompt: str, *, judge: Judge = believe) -> Notes:
    """What a prompt says of its columns. `judge` decides which ones are late."""
    reader = Reader(prompt)
    notes = Notes()
    for name, kind, meaning in reader.rows:
        if "in `train_df` only" in meaning:
            continue
        if "all new to us" in meaning:
            notes.group = name
        elif "counted from the start of the records" in meaning:
            notes.month = name
        elif judge(name, reader.is_late(name)):
            notes.late.append(name)
        else:
            _note(notes, name, kind, meaning)
    return notes


def _note(notes: Notes, name: str, kind: str, meaning: str) -> None:
    if kind == "text":
        notes.texts.append(name)
        return
    notes.numeric.append(name)
    if "in euros" in meaning:
        notes.amounts.append(name)
    for words, period in CYCLES.items():
        if words in meaning:
            notes.cycles[name] = period
    for pattern, more in CENTS:
        if found := pattern.search(meaning):
            notes.in_cents, notes.euros_from = name, int(found["n"]) + more


def _days_of(found: re.Match[str]) -> int:
    n = found["n"]
    return (int(n) if n.isdigit() else NUMBERS[n]) * UNITS[found["unit"]]
