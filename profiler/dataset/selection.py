"""Which dialogues of a dataset are asked: by id, by tag, by a sample, and of these the first so many.

A sample ranks dialogues by a hash of seed and id and takes the lowest, in the order of the file. So the sample of 200 lies
inside the sample of 2,000, and of a dataset that grows most of what was drawn stays drawn.
"""

from __future__ import annotations

import heapq
from hashlib import blake2b, sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from profiler.core.nouns import Dialogue

    Chooses = Callable[[Dialogue], bool]

KEPT_IDS = 10_000  # to guess which id a mistyped one was meant to be
NAMED = 5

Rank = tuple[int, str]  # the id settles what a hash of 64 bits leaves open


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which dialogues are asked. All conditions must hold; they are applied in this order. Without any, it is the whole file."""

    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    by_tag: bool = False
    limit: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether every dialogue is asked, up to the limit."""
        return not (self.ids or self.tags) and self.sample is None

    def as_plain(self) -> dict[str, Any]:
        """The selection without its limit, as plain values, by which two runs are compared."""
        told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, limit=None))
        if self.ids:
            told["ids"] = f"{len(self.ids):,} ids, sha256 {sha256(repr(self.ids).encode()).hexdigest()}"
        if self.tags:
            told["tags"] = list(self.tags)  # as JSON gives it back: a tuple would differ from what a run says of itself
        return told


ALL = Selection()


def chosen(dialogues: Iterable[Dialogue], selection: Selection, *, belongs: Chooses) -> Iterator[Dialogue]:
    """The dialogues that are asked. `belongs` is what `drawn` gives."""
    return islice(filter(belongs, filter(_admitting(selection), dialogues)), selection.limit)


def drawn(dialogues: Iterable[Dialogue], selection: Selection) -> Chooses:
    """Whether a dialogue belongs to the sample: known after one look at all of them."""
    if selection.sample is None:
        return _all_belong
    return _drawn(filter(_admitting(selection), dialogues), selection)


def _all_belong(_: Dialogue) -> bool:
    return True


def expect_ids(dialogues: Iterable[Dialogue], selection: Selection) -> None:
    """Raise when an id is asked for that no dialogue has."""
    missing = set(selection.ids)
    seen: list[str] = []
    for dialogue in dialogues:
        missing.discard(dialogue.dialogue_id)
        if not missing:
            return
        if len(seen) < KEPT_IDS:
            seen.append(dialogue.dialogue_id)
    named = sorted(missing)
    more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    raise UsageError(
        f"--ids: no dialogue has the id {', '.join(map(repr, named[:NAMED]))}{more}", hint=did_you_mean(named[0], seen)
    )


def _admitting(selection: Selection) -> Chooses:
    ids, tags = frozenset(selection.ids), frozenset(selection.tags)
    return lambda dialogue: (not ids or dialogue.dialogue_id in ids) and tags.issubset(dialogue.tags)


def _drawn(dialogues: Iterable[Dialogue], selection: Selection) -> Chooses:
    """Whether a dialogue belongs to the sample."""
    size, seed = selection.sample or 0, selection.seed
    strata: dict[str, _Lowest] = {}
    for dialogue in dialogues:
        strata.setdefault(_stratum(dialogue, selection), _Lowest(size)).add(_rank(dialogue, seed))
    seats = apportioned(size, {name: lowest.seen for name, lowest in strata.items()})
    bounds = {name: strata[name].number(count) for name, count in seats.items() if count}
    return lambda dialogue: _rank(dialogue, seed) <= bounds.get(_stratum(dialogue, selection), (-1, ""))


def _stratum(dialogue: Dialogue, selection: Selection) -> str:
    return dialogue.tags[0] if selection.by_tag and dialogue.tags else ""


def _rank(dialogue: Dialogue, seed: int) -> Rank:
    drawn = blake2b(f"{seed}:{dialogue.dialogue_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(drawn), dialogue.dialogue_id


class _Lowest:
    """Keeps the lowest of all ranks that were added."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._highest_first: list[_Reversed] = []
        self.seen = 0

    def add(self, rank: Rank) -> None:
        self.seen += 1
        if len(self._highest_first) < self._size:
            heapq.heappush(self._highest_first, _Reversed(rank))
        elif self._size and rank < self._highest_first[0].rank:
            heapq.heapreplace(self._highest_first, _Reversed(rank))

    def number(self, count: int) -> Rank:
        """The `count`-th lowest rank."""
        return sorted(each.rank for each in self._highest_first)[count - 1]


class _Reversed:
    """heapq keeps the least in reach, and here the greatest has to go first."""

    __slots__ = ("rank",)

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def __lt__(self, other: _Reversed) -> bool:
        return self.rank > other.rank


def apportioned(size: int, members: Mapping[str, int]) -> dict[str, int]:
    """How many of a sample come from each stratum: in proportion, by Webster's method.

    A larger sample never takes fewer from a stratum, as it may when shares are rounded, so a sample lies inside a larger
    one. A stratum of which all are taken gets no more.
    """
    seats = dict.fromkeys(members, 0)
    claims: list[tuple[float, str]] = [(-count, name) for name, count in members.items() if count]
    heapq.heapify(claims)
    for _ in range(min(size, sum(members.values()))):
        _, name = heapq.heappop(claims)
        seats[name] += 1
        if seats[name] < members[name]:
            heapq.heappush(claims, (-members[name] / (2 * seats[name] + 1), name))
    return seats
