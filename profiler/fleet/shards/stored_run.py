"""What shards without a common folder share of one run lies in an object store. Each works in a folder of its own, and puts
there what others need:

- `RUN/table.json`, `RUN/shards.json`: how the run is divided, as the first who came has said;
- `RUN/attempts/FIRST-WHO/`: the files of a candidate that has answered its range. Nobody reads them until it counts;
- `RUN/done/FIRST`: the name of the candidate that counts. Whoever creates this object has committed, and nobody else can;
- `RUN/open/FIRST-WHO/`: journal and ledger of one that is not answered yet, as they were when they were last put;
- `RUN/sessions/`: what each command says of its session.

WHO is drawn once for each folder. In the folder, what is committed in the store stands as in any run, but without its logs.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import msgspec

from profiler.core.errors import RunDirectoryError
from profiler.engine.threads import in_thread
from profiler.storage.money import Money
from profiler.storage.names import (
    COMMITTED,
    INHERITED,
    JOURNAL,
    LEDGER,
    REQUESTS,
    RESPONSES,
    SCORES,
    TABLE,
)
from profiler.storage.shared_runs.candidate_money import own_money
from profiler.storage.shared_runs.claims import Claims
from profiler.storage.whole_file import remove, write_first, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from profiler.storage.shared_runs.object_store import ObjectStore
    from profiler.storage.shared_runs.range_table import Table
    from profiler.storage.shared_runs.ranges import Candidate, RangeFolders

Item = TypeVar("Item")
Found = TypeVar("Found")

AT_ONCE: Final = 16  # objects
LOGS: Final = (REQUESTS, RESPONSES, SCORES)
BESIDE: Final = "beside.json"  # the money of other candidates in the same folder
STORED_AS: Final = "stored-as"  # in a committed candidate: its name in the store
TAKEN_FROM: Final = "taken-from"  # in a candidate: whose journal it is, in the store
PUT_EVERY_S: Final = 10.0
OPEN_EVERY: Final = 3  # times that is: a journal is put as a whole


class StoredRun:
    """One run in the store, seen from one folder."""

    def __init__(self, store: ObjectStore, folders: RangeFolders) -> None:
        self._store = store
        self._folders = folders
        self._claims = Claims(folders.root.parent)
        self._run = folders.root.parent.name
        self._sizes: dict[int, tuple[str, int]] = {}  # of the journals that were put

    # --- before the first call ----------------------------------------------------------------------------------

    def pull_table(self) -> None:
        """Take over the ranges that the store already holds, if it holds any."""
        theirs, path = self._store.get(f"{self._run}/table.json"), self._folders.root.parent / TABLE
        if theirs is None:
            return
        self._folders.make()
        write_first(path, theirs)
        if path.read_bytes() != theirs:
            raise self._another()

    def agree(self, of: int) -> tuple[Table, int]:
        """Put the table that was laid down here and into how many shards it is divided, unless somebody was first."""
        self._store.expect_conditions(f"{self._run}/probe")
        path = self._folders.root.parent / TABLE
        mine = path.read_bytes()
        theirs = self._store.create(f"{self._run}/table.json", mine)
        if theirs != mine:
            if self._folders.candidates() or self._folders.all_done():
                raise self._another()
            write_whole(path, theirs)
        table = self._folders.table()
        assert table is not None  # noqa: S101 (it was just written)
        divided = self._store.create(f"{self._run}/shards.json", msgspec.json.encode({"of": of}))
        return table, msgspec.json.decode(divided, type=dict[str, int])["of"]

    def _another(self) -> RunDirectoryError:
        return RunDirectoryError(
            f"{self._folders.root.parent}: holds another run than {self._store.told}/{self._run}",
            hint="choose another --output-dir, or another place in the store",
        )

    def take_in(self, mine: Callable[[int], bool]) -> None:
        """Note what is committed in the store, and take up what lost machines have left of our ranges."""
        self.put()  # what a killed command has committed here: its money counts, whoever has won
        done = self._note_all()
        known = {candidate.first for candidate in self._folders.candidates()} | done.keys()
        left: dict[int, list[str]] = {}
        for name in self._names_in("open"):
            first = first_of(name)
            if first not in known and mine(first):
                left.setdefault(first, []).append(name)
        for first, names in left.items():
            self._take_up(first, names)

    def _names_in(self, part: str) -> set[str]:
        """The names of the candidates that have objects in this part of the store."""
        return {each.partition("/")[0] for each in self._store.names(f"{self._run}/{part}")}

    def _note_all(self) -> dict[int, str]:
        firsts = [int(number) for number in self._store.names(f"{self._run}/done")]

        def noted(first: int) -> str:
            name = (self._store.get(f"{self._run}/done/{first}") or b"").decode()
            self._note(first, name)
            return name

        return dict(zip(firsts, at_once(noted, firsts), strict=True))

    def _note(self, first: int, name: str) -> None:
        """Note the candidate that counts, in the place of one that was committed here."""
        folder = self._folders.done(first)
        if text_in(folder / STORED_AS) == name:
            return
        draft = self._draft()
        for part in (COMMITTED, INHERITED):
            if (content := self._store.get(f"{self._run}/attempts/{name}/{part}")) is not None:
                (draft / part).write_bytes(content)
        (draft / STORED_AS).write_text(name)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)

    def _take_up(self, first: int, names: list[str]) -> None:
        """Take up the candidate that got furthest."""
        journals = {name: self._store.get(f"{self._run}/open/{name}/{JOURNAL}") or b"" for name in names}
        name = max(journals, key=lambda each: len(journals[each]))
        draft = self._draft()
        ledger = self._store.get(f"{self._run}/open/{name}/{LEDGER}")
        if ledger is not None:
            (draft / LEDGER).write_bytes(ledger)
        (draft / JOURNAL).write_bytes(journals[name])
        (draft / TAKEN_FROM).write_text(name)
        draft.rename(self._folders.candidate(first, 0).folder)

    def _draft(self) -> Path:
        return Path(tempfile.mkdtemp(prefix=".draft-", dir=self._folders.root))

    # --- while it goes on ---------------------------------------------------------------------------------------

    async def keep_putting(self) -> None:
        """Put what is answered soon, and what is open every now and then."""
        times = 0
        while True:
            await anyio.sleep(PUT_EVERY_S)
            times += 1
            await in_thread(self.put)
            if times % OPEN_EVERY == 0:
                await in_thread(self.put_open)

    def put(self) -> None:
        """Commit in the store what is committed here."""
        who = self._who()
        for first in self._folders.all_done():
            folder, name = self._folders.done(first), f"{first}-{who}"
            if (folder / STORED_AS).exists():
                continue
            for part in (*LOGS, INHERITED):
                if (folder / part).exists():
                    self._store.put(f"{self._run}/attempts/{name}/{part}", folder / part)
            self._put_beside(f"attempts/{name}", self._folders.candidates(first))
            self._store.put(f"{self._run}/attempts/{name}/{COMMITTED}", folder / COMMITTED)
            won = self._store.create(f"{self._run}/done/{first}", name.encode()).decode()
            if won != name:
                self._note(first, won)
                continue
            write_whole(folder / STORED_AS, name.encode())
            for part in LOGS:
                remove(folder / part)

    def put_open(self) -> None:
        """What others need to go on, if this machine is lost: the money first, as for any candidate."""
        candidates: dict[int, list[Candidate]] = {}
        for each in self._folders.candidates():
            candidates.setdefault(each.first, []).append(each)
        for first, (*before, last) in candidates.items():
            if not (last.folder / TAKEN_FROM).exists():  # else nothing was added yet to what is there
                self._put_last(f"open/{first}-{self._who()}", before, last)

    def _put_last(self, name: str, before: list[Candidate], last: Candidate) -> None:
        try:
            size = (last.folder / JOURNAL).stat().st_size
        except FileNotFoundError:  # it has just begun, or was committed meanwhile
            return
        if self._sizes.get(last.first) == (last.folder.name, size):
            return
        self._put_beside(name, before)
        for part in (INHERITED, LEDGER, JOURNAL):
            try:
                content = (last.folder / part).read_bytes()
            except FileNotFoundError:
                continue
            self._store.put(f"{self._run}/{name}/{part}", content)
        self._sizes[last.first] = (last.folder.name, size)

    def _put_beside(self, name: str, candidates: list[Candidate]) -> None:
        spent = Money()
        for each in candidates:
            if not (each.folder / TAKEN_FROM).exists():  # whose it is, tells it
                spent += own_money(each.folder)
        if spent != Money():
            self._store.put(f"{self._run}/{name}/{BESIDE}", msgspec.json.encode(spent))

    def put_all(self) -> None:
        """Put everything into the store. Called when a command ends, however it ends."""
        self.put()
        self.put_open()
        for path in self._folders.sessions.glob("*.jsonl"):
            self._store.put(f"{self._run}/sessions/{path.stem}-{self._who()}.jsonl", path)

    def _who(self) -> str:
        """The name of this folder, which belongs to one store."""
        path = self._claims.away
        if not path.exists():
            write_first(path, f"{secrets.token_hex(4)} {self._store.told}".encode())
        who, _, told = path.read_text().partition(" ")
        if told != self._store.told:
            raise RunDirectoryError(
                f"{self._folders.root.parent}: what is answered here went to {told}, not to {self._store.told}",
                hint=f"give --store {told}, or choose another --output-dir",
            )
        return who


def at_once(work: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """The results for all items, in their order. Many are asked for at once, since a store takes its time for each
    object."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(work, items))


def first_of(name: str) -> int:
    return int(name.partition("-")[0])


def text_in(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
