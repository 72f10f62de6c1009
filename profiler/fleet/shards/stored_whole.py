"""Takes a run out of an object store in which shards have met, for whoever puts it together."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from profiler.fleet.shards.stored_run import BESIDE, LOGS, STORED_AS, StoredRun, at_once, first_of, text_in
from profiler.storage.money import Money
from profiler.storage.names import COMMITTED, INHERITED, JOURNAL, LEDGER
from profiler.storage.reading.unfinished import unfinished
from profiler.storage.shared_runs.candidate_money import own_money
from profiler.storage.whole_file import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.storage.shared_runs.range_table import Table


class _WithMoney(msgspec.Struct):
    money: Money = Money()


class StoredWhole(StoredRun):
    """All of the run. It puts nothing into the store, and removes nothing there."""

    def pull(self) -> None:
        """Fetch everything that says how far the run is."""
        self.pull_table()
        divided = self._store.get(f"{self._run}/shards.json")
        if divided is not None:
            self._claims.agree(msgspec.json.decode(divided, type=dict[str, int])["of"])
            self._note_all()

    def fetch_logs(self, table: Table) -> None:
        """The logs of what counts and is not put together yet, and the sessions."""
        merged = self._folders.merged()
        missing = [
            (self._folders.done(each.first), part)
            for each in self._folders.chain(0 if merged is None else merged.end, table.count)
            for part in LOGS
        ]
        at_once(self._fetch_log, missing)
        self._folders.sessions.mkdir(exist_ok=True)
        for name in self._store.names(f"{self._run}/sessions"):
            self._store.fetch(f"{self._run}/sessions/{name}", self._folders.sessions / name)

    def _fetch_log(self, which: tuple[Path, str]) -> None:
        folder, part = which
        if not (folder / part).exists():
            name = text_in(folder / STORED_AS)
            self._store.fetch(f"{self._run}/attempts/{name}/{part}", folder / f".{part}.tmp")
            replace(folder / f".{part}.tmp", folder / part)

    def kept_open(self) -> int:
        """How many answers lie in candidates in the store that have not come to their end: in the one for each range that got
        furthest."""
        found: dict[int, int] = {}
        names = self._names_in("open")
        for name, kept in zip(names, at_once(self._kept_in, names), strict=True):
            first = first_of(name)
            if self._folders.committed(first) is None:
                found[first] = max(found.get(first, 0), kept)
        return sum(found.values())

    def _kept_in(self, name: str) -> int:
        with self._fetched(f"open/{name}") as folder:
            found = unfinished(folder)
            return 0 if found is None else found.kept

    def money_of_others(self) -> Money:
        """What was spent by all candidates that do not count."""
        names = self._names_in("attempts")
        answered = dict(zip(names, at_once(self._money_of_answered, names), strict=True))
        # One without a sum was lost before all of it was put: what is known of it stands among the open ones.
        open_ones = self._names_in("open") - {name for name, money in answered.items() if money is not None}
        found = [money for money in answered.values() if money is not None]
        return sum([*found, *at_once(self._money_of_open, open_ones)], Money())

    def _money_of_answered(self, name: str) -> Money | None:
        content = self._store.get(f"{self._run}/attempts/{name}/{COMMITTED}")
        if content is None:
            return None
        beside = self._beside(f"attempts/{name}")
        if text_in(self._folders.done(first_of(name)) / STORED_AS) == name:  # it counts, and tells its own money
            return beside
        return beside + msgspec.json.decode(content, type=_WithMoney).money

    def _money_of_open(self, name: str) -> Money:
        with self._fetched(f"open/{name}") as folder:
            return self._beside(f"open/{name}") + own_money(folder)

    def _beside(self, name: str) -> Money:
        content = self._store.get(f"{self._run}/{name}/{BESIDE}")
        return Money() if content is None else msgspec.json.decode(content, type=Money)

    @contextmanager
    def _fetched(self, name: str) -> Iterator[Path]:
        """A folder with what tells of a candidate, for a moment."""
        with tempfile.TemporaryDirectory(dir=self._folders.root) as folder:
            for part in (INHERITED, LEDGER, JOURNAL):
                if (content := self._store.get(f"{self._run}/{name}/{part}")) is not None:
                    (Path(folder) / part).write_bytes(content)
            yield Path(folder)
