"""What a new candidate for a range takes over from the one before it: copies of its files.

That one may still be written to, by a process that everybody takes for dead. So the files are copied in this order: money
first, then the journal, then the logs that it vouches for.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from profiler.core.errors import StorageError
from profiler.storage import journal
from profiler.storage.line_file import LineFile
from profiler.storage.names import INHERITED, JOURNAL, LEDGER, REQUESTS, RESPONSES
from profiler.storage.shared_runs.candidate_money import money_in
from profiler.storage.whole_file import sync_folder


def drafted(candidates: Path, before: Path | None, *, sync: bool) -> Path:
    """The folder of a new candidate, below that of all, under a name by which nobody finds it. Where it cannot be filled, nothing is
    left of it."""
    try:
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=candidates))
        try:
            if before is not None:
                _take_over(before, draft, sync=sync)
        except Exception:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        raise StorageError(candidates, error) from error
    return draft


def _take_over(before: Path, folder: Path, *, sync: bool) -> None:
    """Fill the folder of a new candidate. With `sync` money and journal are on the device then: whoever comes next takes over from
    this candidate, and not from the one before."""
    _copy((LEDGER, JOURNAL), before, folder)
    if journal.read_header(folder / JOURNAL) is not None:  # else nothing vouches for the logs
        _copy((REQUESTS, RESPONSES), before, folder)
    (folder / INHERITED).write_bytes(msgspec.json.encode(money_in(folder)))
    if sync:
        for name in (LEDGER, JOURNAL, INHERITED):
            if (folder / name).exists():
                with LineFile(folder / name) as file:
                    file.sync()
        sync_folder(folder)


def _copy(names: tuple[str, ...], before: Path, folder: Path) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            shutil.copyfile(before / name, folder / name)
