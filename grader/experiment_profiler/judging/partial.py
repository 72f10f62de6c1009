"""The partial reward of a submission that does not solve the task: the share of it that really works.

It is a number from 0 to just below 1. It is 0 after any failure of limits, and the starter earns 0. Each part earns by
the share of the places (a process, or a run in it) where it holds together with everything that it rests on: metrics of
wrong logs earn nothing. A run whose summary is not true earns nothing at all, so whoever does not know the metrics
should rather leave them out. Places where nothing is the right answer, such as an experiment without dialogues, count
only for a submission that is right everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.judging.reasons import REASONS
from grader.experiment_profiler.worlds import edges, foreign_logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grader.experiment_profiler.judging.verdict import Finding

    Held = Mapping[str, bool]  # check: whether it held, in one place

MOST: Final = 0.95  # for a submission that fails, however nearly right it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    worth: int
    check: str
    rests_on: tuple[str, ...] = ()


LOGS: Final = ("dialogues", "order", "requests")
PARTS: Final = (
    Part(worth=2, check="client"),
    Part(worth=4, check="requests", rests_on=("dialogues", "order")),
    Part(worth=5, check="responses", rests_on=LOGS),
    Part(worth=4, check="metrics", rests_on=("files", *LOGS, "responses")),
    Part(worth=5, check="summarize"),
)
NOTHING: Final = frozenset({*edges.NAMES, *foreign_logs.KINDS}) - {"mixed", "long"}  # places are named after these


def reward(findings: Iterable[Finding]) -> float:
    places: dict[str, dict[str, bool]] = {}
    untrue = set()
    for finding in findings:
        if finding.reason is not None and REASONS[finding.reason].check == "limits":
            return 0.0
        held = places.setdefault(finding.where, {})
        held[finding.check] = held.get(finding.check, True) and finding.reason is None
        if finding.reason == "metric_mismatch":
            untrue.add(finding.where)
    for where in untrue:
        if places[where].get("files"):  # without a summary there is nothing that could be untrue
            places[where] = dict.fromkeys(places[where], False)
    earned = sum(part.worth * _share(part, places) for part in PARTS)
    return round(min(MOST, earned / sum(part.worth for part in PARTS)), 6)


def _share(part: Part, places: Mapping[str, Held]) -> float:
    """The share of the places where the part could be earned."""
    found = {name: _earned(part, held) for name, held in places.items() if part.check in held}
    real = [earned for name, earned in found.items() if not _of_nothing(name)]
    if not all(real):
        return sum(real) / len(found)
    return sum(found.values()) / len(found) if found else 0.0


def _earned(part: Part, held: Held) -> bool:
    return all(held.get(check, False) for check in (part.check, *part.rests_on))


def _of_nothing(place: str) -> bool:
    """Whether nothing is right in a place, by the name of its world or logs: 'empty run', 'world-1 api: no-facts
    handed'."""
    return place.rpartition(": ")[2].partition(" ")[0] in NOTHING
