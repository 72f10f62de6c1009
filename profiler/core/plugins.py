"""What people bring themselves, named `module:attribute` in a manifest: metrics and clients.

Takes the name, and the folder of the manifest; gives the object it names, or a message that says why there is none.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator


def load(name: str, *, key: str, search_path: Path | None = None) -> object:
    """Import what `name` says. `search_path` (a manifest's folder) and the current folder count while this runs."""
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UsageError(f"{key}: {name!r} is not of the form module:attribute, as in my_module:my_name")
    with _importable(Path.cwd(), search_path):
        try:
            found = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # what people wrote may raise anything, and a script may exit
            said = f"{type(error).__name__}: {error}"
            raise UsageError(f"{key}: cannot import {module!r} for {name!r}: {said}") from error
    if not hasattr(found, attribute):
        public = [name for name in vars(found) if not name.startswith("_")]
        raise UsageError(f"{key}: {module!r} has no {attribute!r}", hint=did_you_mean(attribute, public))
    value: object = getattr(found, attribute)
    return value


@contextmanager
def _importable(*folders: Path | None) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders if folder is not None]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
