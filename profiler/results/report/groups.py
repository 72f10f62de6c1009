"""Errors that say the same, and refusals of the same kind, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.core.wording import alike, shortened

if TYPE_CHECKING:
    from profiler.storage.reading.item import Item

MOST_GROUPS: Final = 1_000
OTHER: Final = ("other errors, after the first thousand groups", None, "")
NAMELESS: Final = "unknown"


class Groups:
    """The errors and refusals of one run. Groups of errors are numbered as they appear."""

    def __init__(self) -> None:
        self._errors: dict[tuple[str, int | None, str], dict[str, Any]] = {}
        self._numbers: dict[tuple[str, int | None, str], int] = {}
        self._refusals: dict[tuple[str, bool | None], int] = {}

    def error(self, item: Item) -> None:
        key = self._key(item)
        if key not in self._errors and len(self._errors) >= MOST_GROUPS:
            key = OTHER
        kind, status, message = key
        fresh = {"kind": kind, "status": status, "message": shortened(message), "count": 0, "first": item.dialogue_id}
        self._errors.setdefault(key, fresh)["count"] += 1

    @staticmethod
    def _key(item: Item) -> tuple[str, int | None, str]:
        found = item.record.get("error") or {}
        return str(found.get("type", NAMELESS)), found.get("status"), alike(str(found.get("message", "")))

    def number_of(self, item: Item) -> int:
        """The number of the group that a counted error belongs to."""
        key = self._key(item)
        if not self._numbers:
            self._numbers = {each: number for number, each in enumerate(self._errors)}
        return self._numbers[key] if key in self._numbers else self._numbers[OTHER]

    def refusal(self, item: Item) -> None:
        key = (category(item), item.request.get("expect_refusal"))
        self._refusals[key] = self._refusals.get(key, 0) + 1

    def errors(self) -> list[dict[str, Any]]:
        return list(self._errors.values())

    def refusals(self) -> list[dict[str, Any]]:
        return [
            {"category": name, "expected": expected, "count": count}
            for (name, expected), count in sorted(self._refusals.items(), key=lambda each: -each[1])
        ]


def category(item: Item) -> str:
    """What the provider says the refusal is about; if it says nothing, how the refusal was recognised."""
    details = item.record.get("stop_details")
    if isinstance(details, dict) and details.get("category"):
        return str(details["category"])
    reason = item.record.get("stop_reason")
    return "the provider gave no category" if reason == "refusal" else "known by its words"
