"""Which items of a run are looked at: by id, kind, tag, condition, text, or the worst by a value."""

from __future__ import annotations

import heapq
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean, found
from profiler.results.condition import condition
from profiler.results.values import value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from profiler.storage.reading.item import Item

KEPT_IDS = 10_000  # to guess what a mistyped one was meant to be


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which items to choose: all conditions must hold. `worst` is the name of a value, and how many items to take."""

    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    where: str | None = None
    grep: str | None = None
    worst: tuple[str, int] | None = None
    limit: int | None = None


def chosen(
    items: Iterable[Item], choice: Choice, *, scores: Sequence[str], better: Callable[[str], str | None]
) -> Iterator[Item]:
    """The chosen items, in the order of the run, or from the worst on. `better` says which way a metric is better."""
    found = _matching(items, choice, scores=scores)
    if choice.worst is not None:
        name, number = choice.worst
        value = value_of(name, scores=scores)
        found = iter(_worst(found, value, number, highest=better(name) != "higher", name=name))
    yield from islice(found, choice.limit)


def _matching(items: Iterable[Item], choice: Choice, *, scores: Sequence[str]) -> Iterator[Item]:
    holds = condition(choice.where, scores=scores) if choice.where is not None else None
    text = choice.grep.casefold() if choice.grep is not None else None
    wanted, met = set(choice.ids), set[str]()
    seen: list[str] = []
    for item in items:
        if wanted:
            if len(seen) < KEPT_IDS:
                seen.append(item.dialogue_id)
            if item.dialogue_id not in wanted:
                continue
            met.add(item.dialogue_id)
        if choice.types and item.type not in choice.types:
            continue
        if choice.tags and not set(choice.tags).issubset(item.request.get("tags") or ()):
            continue
        if text is not None and not _says(item, text):
            continue
        if holds is None or holds(item):
            yield item
    for name in sorted(wanted - met):
        same = next((each for each in seen if each.casefold() == name.casefold()), None)
        near = f"did you mean {same!r}?" if same else did_you_mean(name, seen)
        like = f"its ids are like {', '.join(map(repr, seen[:3]))}" if seen else None
        raise UsageError(f"there is no dialogue {name!r} in this run", hint=near or like)


def _says(item: Item, text: str) -> bool:
    return any(text in said.casefold() for said in (item.dialogue_id, *item.said))


def _worst(items: Iterable[Item], value: Callable[[Item], Any], number: int, *, highest: bool, name: str) -> list[Item]:
    """The worst items. Items without a value are left out; equal ones stay in the order of the run."""
    sign = -1 if highest else 1
    keyed = (
        (sign * number_there, place, item)
        for place, item in enumerate(items)
        if (number_there := _number(value(item), name)) is not None
    )
    return [item for _, _, item in heapq.nsmallest(number, keyed, key=lambda entry: entry[:2])]


def _number(value: Any, name: str) -> float | None:
    if value is None or isinstance(value, int | float):
        return None if value is None or math.isnan(value) else value
    raise UsageError(
        f"--worst {name}: expected a number in every dialogue, found {found(value)}",
        hint="--where and --grep choose by text; numbers are scores, latency_s, cost_usd, output_tokens and others",
    )
