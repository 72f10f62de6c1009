"""Money that was spent, and money that may have been, as the files of a run tell it."""

from __future__ import annotations

import msgspec


class Money(msgspec.Struct, frozen=True):
    """Pico-dollars that were spent, and that may have been; and how many items were cut off in a call."""

    spent: int = 0
    maybe: int = 0
    cut_off: int = 0

    def __add__(self, other: Money) -> Money:
        return Money(self.spent + other.spent, self.maybe + other.maybe, self.cut_off + other.cut_off)

    def __sub__(self, other: Money) -> Money:
        return Money(self.spent - other.spent, self.maybe - other.maybe, self.cut_off - other.cut_off)

    @property
    def gone(self) -> int:
        return self.spent + self.maybe
