"""The money of a whole manifest, kept beside the folders of its experiments: over kills, and over later commands.

What an experiment has spent stands in its own folder, which is the truth as long as it is there. The file here says which
experiments the manifest has ever run, and what each had spent when it ended: those that are not selected now, that were
taken out of the manifest or whose folder was removed count as well.
"""

from __future__ import annotations

import fcntl
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import RunDirectoryError, StorageError
from profiler.core.json import DecodeError, dump_line
from profiler.money.prices import dollars, pico
from profiler.storage.kept_answers import money_of
from profiler.storage.line_file import LineFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class _Line(msgspec.Struct):
    experiment_id: str | None = None
    spent_usd: float = 0.0  # and what may have been billed
    moved_aside: bool = False  # this much stands in folders that --fresh has moved aside
    begun_anew: bool = False  # all of them: nothing before counts


class WholeMoney:
    """The file, held open; without a file (experiments that no manifest names) only the folders tell."""

    def __init__(self, folder: Path, file: LineFile | None = None) -> None:
        self._folder = folder
        self._file = file
        self._known: dict[str, int] = {}
        self._aside = 0
        if file is not None:
            content = file.path.read_bytes()
            file.cut(content.rfind(b"\n") + 1)  # a torn last line is not there
            self._read(content[: file.size])

    def gone(self, ids: Sequence[str], *, but: Sequence[str] = ()) -> int:
        """What these experiments and all others that the manifest has run have spent, or may have, in pico-dollars,
        `but` for those that start over."""
        total = self._aside
        for name in dict.fromkeys([*ids, *self._known]).keys() - set(but):
            found = money_of(self._folder / name)
            total += self._known.get(name, 0) if found is None else found
        return total

    def begin(self, ids: Sequence[str]) -> None:
        """Note that these experiments are being run. If the command is killed, their folders tell what they have spent."""
        self._write([_Line(name) for name in ids if name not in self._known])

    def begin_anew(self, ids: Sequence[str]) -> None:
        """These start over, and their folders are moved aside. The count starts over only when all of them do: what was
        spent is part of the whole."""
        if self._known.keys() <= set(ids):
            self._write([_Line(begun_anew=True)])
            return
        spent = {name: money_of(self._folder / name) or self._known.get(name, 0) for name in ids}
        self._write([_Line(name, dollars(amount), moved_aside=True) for name, amount in spent.items() if amount])
        self._write([_Line(name) for name in ids])

    def note(self, name: str, amount: int) -> None:
        """Note what an experiment has spent, when it ends."""
        if self._known.get(name) != amount:
            self._write([_Line(name, dollars(amount))])

    def _write(self, lines: list[_Line]) -> None:
        if self._file is not None:
            self._file.write(b"".join(dump_line(msgspec.to_builtins(line)) for line in lines))
        for line in lines:
            self._learn(line)

    def _read(self, content: bytes) -> None:
        decode = msgspec.json.Decoder(_Line).decode
        for number, line in enumerate(content.splitlines(), 1):
            try:
                self._learn(decode(line))
            except DecodeError as error:
                path = self._file.path if self._file is not None else self._folder
                raise RunDirectoryError(
                    f"{path}:{number}: expected what an experiment has spent, found {line[:80]!r}",
                    hint="a cap for all experiments needs it; remove the file to count from the folders alone",
                ) from error

    def _learn(self, line: _Line) -> None:
        if line.begun_anew:
            self._known.clear()
            self._aside = 0
        elif line.moved_aside:
            self._aside += pico(line.spent_usd)
        elif line.experiment_id is not None:
            self._known[line.experiment_id] = pico(line.spent_usd)


@contextmanager
def whole_money(folder: Path, *, manifest: Path | None, capped: bool) -> Iterator[WholeMoney]:
    """The money of a manifest, by the path of its file. Two commands with a cap for all would each spend it, so one that
    has a cap is alone."""
    if manifest is None:
        yield WholeMoney(folder)
        return
    path = folder / f".money-{hashlib.sha256(str(manifest).encode()).hexdigest()[:16]}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(folder, error) from error
    with LineFile(path) as file:
        _lock(file, manifest=manifest, alone=capped)
        if not file.size:
            file.write(dump_line({"manifest": str(manifest)}))
        yield WholeMoney(folder, file)


def _lock(file: LineFile, *, manifest: Path, alone: bool) -> None:
    try:
        fcntl.flock(file.fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunDirectoryError(
            f"{manifest}: another command runs experiments of it, and a cap for all of them cannot be held by two at once",
            hint="wait for it to end, or stop it",
        ) from error
    except OSError as error:
        raise StorageError(file.path, error) from error
