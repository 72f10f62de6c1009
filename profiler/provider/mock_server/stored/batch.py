"""One Message Batch: what it holds, and where it stands at a given time. It does nothing by itself: time decides all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from profiler.core.json import dumps
from profiler.provider.mock_server.clock import written
from profiler.provider.mock_server.history.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 24 * 3600.0
ARCHIVED_AFTER_S = 29 * DAY_S  # from its creation results can be had for so long
KINDS = ("succeeded", "errored", "canceled", "expired")

Status = Literal["in_progress", "canceling", "ended"]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request of a batch. Whether its parameters are right shows when it is processed."""

    custom_id: str
    params: msgspec.Raw


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was drawn for a batch when it was created."""

    takes_s: float  # to process all of it
    done_share: float = 1.0  # of its items; the others wait for the end of the day or for a cancellation
    unseen_s: float = 0.0  # nobody finds it for so long
    cancel_takes_s: float = 0.0


class Batch:
    """Its items are processed one after the other, in an order of their own, evenly over the time that it takes."""

    def __init__(self, batch_id: str, items: list[Item], *, plan: Plan, created_at: float, order_seed: str) -> None:
        self.id = batch_id
        self.size = len(items)
        self.created_at = created_at
        self.expires_at = created_at + DAY_S
        self.cancelled_at: float | None = None
        self.counts = dict.fromkeys(KINDS, 0)
        self.results = Spool()
        self._plan = plan
        self._items = items
        self._settled = 0
        random.Random(order_seed).shuffle(items)  # noqa: S311 (an order, not a secret)

    def seen(self, wall: float) -> bool:
        return wall >= self.created_at + self._plan.unseen_s

    def ends_at(self) -> float:
        finished_at = self.created_at + self._plan.takes_s
        if self._plan.done_share < 1 or finished_at > self.expires_at:
            finished_at = self.expires_at
        if self.cancelled_at is None:
            return finished_at
        return min(finished_at, self.cancelled_at + self._plan.cancel_takes_s)

    def status(self, wall: float) -> Status:
        if wall >= self.ends_at():
            return "ended"
        return "in_progress" if self.cancelled_at is None else "canceling"

    def archived(self, wall: float) -> bool:
        return wall >= self.created_at + ARCHIVED_AFTER_S

    def cancel(self, wall: float) -> None:
        if self.cancelled_at is None:
            self.cancelled_at = wall

    @property
    def settled(self) -> bool:
        return self._settled == self.size

    def settle(self, answer: Callable[[Item], dict[str, Any]], *, at_most: int) -> None:
        """Write the results of some more items of a batch that has ended."""
        for place in range(self._settled, min(self._settled + at_most, self.size)):
            item = self._items[place]
            result = self._outcome(place) or answer(item)
            self.counts[result["type"]] += 1
            self.results.append(dumps({"custom_id": item.custom_id, "result": result}) + b"\n")
            self._settled = place + 1
        if self.settled:
            self._items = []  # what was asked is no longer needed

    def _outcome(self, place: int) -> dict[str, Any] | None:
        """How an item ended that nobody processed; None for one that was."""
        stop = self.ends_at() if self.cancelled_at is None else min(self.cancelled_at, self.ends_at())
        done_at = self.created_at + self._plan.takes_s * (place + 1) / self.size
        if place < int(self.size * self._plan.done_share + 0.5) and done_at <= stop:
            return None
        return {"type": "expired" if self.ends_at() >= self.expires_at else "canceled"}

    def shown(self, wall: float, *, results_url: str) -> dict[str, Any]:
        """As the API shows it. Nothing is counted until all of it has ended."""
        ended = self.status(wall) == "ended"
        counts = {"processing": 0 if ended else self.size, **self.counts}
        archived = self.archived(wall)
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status(wall),
            "request_counts": counts,
            "created_at": written(self.created_at),
            "expires_at": written(self.expires_at),
            "ended_at": written(self.ends_at()) if ended else None,
            "cancel_initiated_at": None if self.cancelled_at is None else written(self.cancelled_at),
            "archived_at": written(self.created_at + ARCHIVED_AFTER_S) if archived else None,
            "results_url": results_url if ended and not archived else None,
        }
