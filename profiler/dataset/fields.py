"""`dataset_fields` of a manifest: which keys of a file's rows hold the parts of a dialogue.

`{user: question, expected: answer, dialogue_id: {line: true}}` reads a file whose rows say `question` and `answer` and
have no ids of their own: each gets the number of its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.wording import did_you_mean
from profiler.dataset.explain import Rejected, RowFault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from profiler.manifest.settings import LineNumber

    # A key of a dialogue (`DialogueKey`), and the key of the file that holds it
    FieldNames = Mapping[Any, str | LineNumber]

NEEDED = (
    "dialogue_id",
    "user",
    "messages",
    "turns",
)  # a row that lacks one of these is no dialogue; others may be absent
KEPT_KEYS = 100


class Renaming:
    """Renames the keys of a file's rows to those of a dialogue. One object serves one pass over a file.

    It remembers which keys it met, so that a key that the manifest names and no row has can be reported.
    """

    def __init__(self, fields: FieldNames) -> None:
        self._sources = {ours: theirs for ours, theirs in fields.items() if isinstance(theirs, str)}
        self._numbered = [ours for ours, theirs in fields.items() if not isinstance(theirs, str)]
        self._taken = frozenset(self._sources.values())
        self._met: set[str] = set()
        self._keys: set[str] = set()

    def row(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """Return the row with the keys of a dialogue.

        A file may itself have a key with one of our names, while that part is read from another key: such a key has
        another meaning, and becomes metadata.
        """
        if len(self._keys) < KEPT_KEYS:
            self._keys.update(row)
        renamed = {key: value for key, value in row.items() if key not in self._taken}
        shadowed = {key: renamed.pop(key) for key in (*self._sources, *self._numbered) if key in renamed}
        for ours, theirs in self._sources.items():
            if row.get(theirs) is not None:
                renamed[ours] = row[theirs]
                self._met.add(theirs)
            elif ours in NEEDED:
                raise Rejected(self._lacks(ours, theirs, row))
        for ours in self._numbered:
            renamed[ours] = str(number)
        own = renamed.get("metadata")
        if shadowed and (own is None or isinstance(own, dict)):
            renamed["metadata"] = {**shadowed, **(own or {})}
        return renamed

    def columns(self, names: Collection[str]) -> Iterator[RowFault]:
        """Yield what a table with these columns lacks."""
        for ours, theirs in self._sources.items():
            if theirs not in names:
                yield self._lacks(ours, theirs, names)

    def header(self, names: Collection[str]) -> list[str]:
        """Return the keys that rows of a table with these columns have after `row`."""
        return [*(name for name in names if name not in self._taken), *self._sources, *self._numbered]

    def never_met(self) -> Iterator[RowFault]:
        """Yield the keys that no row had.

        They are probably misspelt, because what a manifest names is meant to be there.
        """
        for ours, theirs in self._sources.items():
            if theirs not in self._met:
                message = f"no row has a value for {theirs!r}, from which dataset_fields reads {ours}"
                yield RowFault(message=message, hint=did_you_mean(theirs, sorted(self._keys - self._taken)))

    def _lacks(self, ours: str, theirs: str, keys: Collection[str]) -> RowFault:
        hint = did_you_mean(theirs, sorted(set(keys) - self._taken))
        return RowFault(message=f"found no {theirs!r}, from which dataset_fields reads {ours}", hint=hint)


def renaming(fields: FieldNames | None) -> Renaming | None:
    return Renaming(fields) if fields else None
