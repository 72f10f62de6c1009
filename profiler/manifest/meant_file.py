"""Guesses which file was meant where a path leads to none: the one in the same folder whose name is nearest."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from profiler.core.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOOKED_AT: Final = 1_000  # names in a folder
NAMED: Final = 3


def meant_file(path: Path) -> Path | None:
    """The file that was probably meant by a path that leads to none; None where no name is near.

    The ending counts less than the name: `data.yml` means `data.yaml` rather than `date.yml`.
    """
    files = _files_in(path.parent)
    stem = nearest(path.stem, {each.stem for each in files})
    alike = {each.name: each for each in files if each.stem == stem}
    if not alike:
        return None
    return alike[nearest(path.name, alike) or min(alike)]


def manifests_in(folder: Path) -> list[str]:
    """The first few files of a folder that may be manifests, as a message names them."""
    files = sorted(each for each in _files_in(folder) if each.suffix in {".yaml", ".yml"})
    return [str(each) for each in files[:NAMED]]


def _files_in(folder: Path) -> Sequence[Path]:
    try:
        return [each for each in islice(folder.iterdir(), LOOKED_AT) if each.is_file()]
    except (OSError, ValueError):  # a folder that is none, or that may not be read
        return []
