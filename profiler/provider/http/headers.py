"""The headers of a response, found by their names in lower case, and decoded when somebody asks for them.

A response has ten headers or more, and few of them are ever read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final


class Headers(Mapping[str, str]):
    __slots__ = ("_lines", "names")

    def __init__(self, lines: dict[bytes, bytes]) -> None:
        """`lines` holds names and values as they came."""
        self._lines = lines
        self.names = _names_of(tuple(lines))  # in lower case, each with the name as it came

    def __getitem__(self, name: str) -> str:
        return self._lines[self.names[name]].decode("latin-1")

    def get(self, name: str, default: Any = None) -> Any:
        """Mostly asked for a name that is absent: the method of `Mapping` would raise and catch an exception each time."""
        line = self.names.get(name)
        return default if line is None else self._lines[line].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@lru_cache(maxsize=16)
def _names_of(names: tuple[bytes, ...]) -> dict[str, bytes]:
    """A server sends the same names with nearly every response; one that does not must not fill the memory."""
    return {name.decode("latin-1").lower(): name for name in names}


NO_HEADERS: Final = Headers({})
