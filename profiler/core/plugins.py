"""Loads users' own metrics and clients, which a manifest names as `module:attribute`.

A module that is a file in the manifest's folder, or in the current one, is loaded by its path and gets a name of its
own, so that two manifests may each have a `my_client.py`. Any other name is imported as usual.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def load(name: str, *, key: str, search_path: Path | None = None) -> object:
    """The object that `name` stands for. Meanwhile `search_path` and the current folder can be imported from."""
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UsageError(f"{key}: {name!r} is not of the form module:attribute, as in my_module:my_name")
    folders = [folder.absolute() for folder in (search_path, Path.cwd()) if folder is not None]
    with _importable(folders):
        try:
            found = _module(module, folders)
        except (Exception, SystemExit) as error:  # what people wrote may raise anything, and a script may exit
            said = f"{type(error).__name__}: {error}"
            absent = isinstance(error, ModuleNotFoundError) and error.name == module
            hint = f"put {module}.py beside the manifest, or install what it is in" if absent else None
            raise UsageError(f"{key}: cannot import {module!r} for {name!r}: {said}", hint=hint) from error
    if not hasattr(found, attribute):
        public = [name for name in vars(found) if not name.startswith("_")]
        raise UsageError(f"{key}: {module!r} has no {attribute!r}", hint=did_you_mean(attribute, public))
    value: object = getattr(found, attribute)
    return value


def _module(name: str, folders: list[Path]) -> ModuleType:
    for folder in folders:
        if (path := folder / f"{name}.py").is_file():
            return _from_file(name, path.resolve())
    return importlib.import_module(name)


def _from_file(name: str, path: Path) -> ModuleType:
    """Load a file once. The module stays in `sys.modules`, where whoever resolves its annotations later looks for it."""
    own = f"{name}@{sha256(str(path).encode()).hexdigest()[:12]}"
    if own in sys.modules:
        return sys.modules[own]
    spec = spec_from_file_location(own, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = sys.modules[own] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own]
        raise
    return module


@contextmanager
def _importable(folders: list[Path]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders]
    importlib.invalidate_caches()
    _forget_namesakes(folders)
    try:
        yield
    finally:
        sys.path[:] = before


_brought_from: set[str] = set()


def _forget_namesakes(folders: list[Path]) -> None:
    """Drop a helper module that an earlier manifest brought, when this manifest has a file of the same name."""
    for name, module in list(sys.modules.items()):  # there are thousands, and a path costs more than a string
        folder, _, file = (getattr(module, "__file__", None) or "").rpartition(os.sep)
        if folder in _brought_from and file == f"{name}.py":
            places = [str(place) for place in folders if (place / file).is_file()]
            if places and places[0] != folder:
                del sys.modules[name]
    _brought_from.update(map(str, folders))
