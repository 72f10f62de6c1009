"""How strongly code is isolated: four levels, each of which stops everything that the one below it stops."""

from __future__ import annotations

from enum import IntEnum


class Level(IntEnum):
    PROCESS = 1
    KERNEL = 2
    NAMESPACES = 3
    CONTAINER = 4

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Level:
        try:
            return cls[label.upper()]
        except KeyError:
            known = ", ".join(level.label for level in cls)
            raise ValueError(f"level: expected one of {known}, found {label!r}") from None
