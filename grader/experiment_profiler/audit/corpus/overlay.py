"""Builds the folder of a corpus submission: a copy of the reference, with the changes of the entry applied.

`words` replaces placeholders like `@LOOT_FILE@` in the text that an entry writes or appends.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from grader.experiment_profiler.audit.corpus.entries import CorpusError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grader.experiment_profiler.audit.corpus.entries import Entry


def lay_out(entry: Entry, folder: Path, *, reference: Path, words: Mapping[str, str]) -> None:
    """Write the submission to `folder`, which must not exist yet."""
    shutil.copytree(reference, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in entry.starter:
        shutil.copyfile(reference.parent / "starter" / name, folder / name)
    for name, pairs in entry.replace.items():
        _rewrite(folder / name, pairs, where=f"{entry.name}: {name}")
    for name, text in entry.write.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(_said(text, words), encoding="utf-8")
    for name, text in entry.append.items():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write("\n\n" + _said(text, words))


def _rewrite(file: Path, pairs: tuple[tuple[str, str], ...], *, where: str) -> None:
    """Replace texts that occur exactly once. Otherwise a mutant could silently be the reference itself."""
    text = file.read_text(encoding="utf-8")
    for old, new in pairs:
        if text.count(old) != 1:
            raise CorpusError(f"{where}: found {text.count(old)} times, expected once: {old!r}")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def _said(text: str, words: Mapping[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text
