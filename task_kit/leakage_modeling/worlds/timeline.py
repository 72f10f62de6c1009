"""The timeline of a world: what happens to a case, on which day, and when the prediction is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

GAPS = (3, 15)  # days between two events
NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to every case: "the interview", "the applicant is interviewed"."""

    noun: str
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A day, and words that name it. With `stretch` the words name the time that ends on that day."""

    day: int
    words: str
    stretch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    events: tuple[Event, ...]
    days: tuple[int, ...]  # of each event, counted from the first
    prediction: Moment

    def known(self, moment: Moment) -> bool:
        return moment.day < self.prediction.day


def draw_timeline(draw: Generator, events: tuple[Event, ...], *, plain: bool) -> Timeline:
    """`plain`: the prediction is made on the day of an event."""
    days = [0]
    for _ in events[1:]:
        days.append(days[-1] + int(draw.integers(*GAPS)))
    made_at = int(draw.integers(1, len(events) - 2))
    day, event = days[made_at], events[made_at]
    forms = [
        (day, f"on the day of {event.noun}, before anything else of that day is written down"),
        (day, f"on the morning of the day on which {event.clause}, when nothing of that day is on record yet"),
        (day + 1, f"one day after {event.noun}, before anything of that day is written down"),
        (day - 1, f"on the eve of {event.noun}, that is one day before {event.noun}, before that day's entries"),
        (day + 2, f"on day {day + 2}, before anything of that day is written down"),
    ]
    made_on, words = forms[int(draw.integers(2 if plain else len(forms)))]
    return Timeline(events=events, days=tuple(days), prediction=Moment(day=made_on, words=words))


def draw_moment(draw: Generator, timeline: Timeline, *, known: bool, window: bool) -> Moment:
    """A moment before or after the prediction. With `window` it may be the end of a stretch of time."""
    while True:
        found = _window(draw, timeline) if window and draw.random() < 0.6 else _point(draw, timeline)
        if found.day != timeline.prediction.day and timeline.known(found) == known and found.day >= 0:
            return found


def _point(draw: Generator, timeline: Timeline) -> Moment:
    place = int(draw.integers(len(timeline.events)))
    event, day, n = timeline.events[place], timeline.days[place], int(draw.integers(1, 15))
    forms = (
        (day, f"when {event.clause}"),
        (day, f"on the day of {event.noun}"),
        (day, f"at the time of {event.noun}"),
        (day, f"as soon as {event.clause}"),
        (day + n, f"{_length(draw, n)} after {event.noun}"),
        (day + n, f"{_length(draw, n)} after {event.clause}"),
        (day + n + 1, f"once {_length(draw, n + 1)} have gone by since {event.noun}"),
        (day - n, f"{_length(draw, n)} before {event.noun}"),
        (day - n, f"{_length(draw, n)} before {event.clause}"),
        (day + n, f"on day {day + n}"),
    )
    found, words = forms[int(draw.integers(len(forms)))]
    return Moment(day=found, words=words)


def _window(draw: Generator, timeline: Timeline) -> Moment:
    first, last = sorted(int(place) for place in draw.choice(len(timeline.events), size=2, replace=False))
    event, day, n = timeline.events[last], timeline.days[last], int(draw.integers(2, 22))
    since = timeline.events[first].noun
    forms = (
        (day, f"over the {_length(draw, n)} up to {event.noun}"),
        (day, f"in the {_length(draw, n)} before {event.noun}"),
        (day, f"from {since} to {event.noun}"),
        (day, f"between {since} and {event.noun}"),
        (day, f"from the beginning until {event.clause}"),
        (day + n, f"over the {_length(draw, n)} after {event.noun}"),
        (day + n, f"in the {_length(draw, n)} that follow {event.noun}"),
        (day + n, f"over the {_length(draw, n)} after {event.clause}"),
        (day + n, f"from {event.noun} until {_length(draw, n)} later"),
    )
    found, words = forms[int(draw.integers(len(forms)))]
    return Moment(day=found, words=words, stretch=True)


def _length(draw: Generator, days: int) -> str:
    """A number of days in words or figures; in weeks if it is whole weeks."""
    if days % 7 == 0 and draw.random() < 0.5:
        return {1: "seven days", 2: "two weeks", 3: "three weeks"}[days // 7]
    return f"{_number(draw, days)} {'day' if days == 1 else 'days'}"


def _number(draw: Generator, n: int) -> str:
    return NUMBER_WORDS[n] if n < len(NUMBER_WORDS) and draw.random() < 0.5 else str(n)
