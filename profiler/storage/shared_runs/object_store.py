"""Objects in a store of a cloud (S3, GCS, Azure), or in a folder that stands for one, by name.

Two promises of such a store are used: an object is there as a whole or not at all, and of several who create one at once one
has it. Nothing is locked, renamed or appended to. obstore is needed only for this.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from profiler.core.errors import RunDirectoryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

EXTRA: Final = "pip install 'experiment-profiler[object-store]'"


class ObjectStore:
    """One place in a store. `told` is its name in messages, without anything secret that a URL may hold."""

    def __init__(self, store: Any, *, told: str) -> None:
        self._obstore = _obstore()
        self._store = store
        self.told = told

    def get(self, name: str) -> bytes | None:
        """The content of an object; None if there is none of that name."""
        with self._errors(name), suppress(FileNotFoundError):
            return bytes(self._obstore.get(self._store, name).bytes())
        return None

    def fetch(self, name: str, path: Path) -> None:
        """Download an object into a file, a block at a time."""
        with self._errors(name):
            blocks = iter(self._obstore.get(self._store, name).stream())
        with path.open("wb") as file:
            while True:
                with self._errors(name):
                    block = next(blocks, None)
                if block is None:
                    return
                file.write(block)

    def put(self, name: str, content: bytes | Path) -> None:
        """Write an object, replacing what is there."""
        with self._errors(name):
            self._obstore.put(self._store, name, content)

    def create(self, name: str, content: bytes) -> bytes:
        """Make it unless it is there, and return what is there now.

        A store that was asked twice, because its first reply was lost, says that it is there already. So whoever wants to know
        who has made it compares the content.
        """
        try:
            with self._errors(name):
                self._obstore.put(self._store, name, content, mode="create")
        except _ThereAlready:
            return self.get(name) or b""
        return content

    def expect_conditions(self, name: str) -> None:
        """Raise where the condition is ignored, as some stores do that speak a cloud's protocol: there everybody would win."""
        self.create(name, b"first")
        if self.create(name, b"second") != b"first":
            raise self._unconditional()

    def _unconditional(self) -> RunDirectoryError:
        return RunDirectoryError(
            f"{self.told}: cannot make an object on condition that it is not there yet, so nobody could commit",
            hint="use a store with conditional puts, or a shared folder",
        )

    def names(self, prefix: str) -> list[str]:
        """The sorted names of the objects below a folder, without the folder's own name."""
        with self._errors(prefix):
            found = [each["path"] for chunk in self._obstore.list(self._store, prefix) for each in chunk]
        return sorted(name.removeprefix(f"{prefix}/") for name in found)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        known = self._obstore.exceptions
        try:
            yield
        except FileNotFoundError:
            raise
        except known.AlreadyExistsError as error:
            raise _ThereAlready from error
        except (known.NotSupportedError, NotImplementedError) as error:
            raise self._unconditional() from error
        except (known.BaseError, OSError, ValueError) as error:
            raise RunDirectoryError(
                f"{self.told}/{name}: {_first_line(error)}", hint="what is answered is kept; the same command goes on"
            ) from error


class _ThereAlready(Exception):
    """The object exists already: another process was first, or this one, whose first try got no reply."""


def object_store(url: str) -> ObjectStore:
    """The one at a URL such as s3://bucket/path, gs://bucket/path, az://container/path or file:///path. Keys and addresses come
    from the environment, under the names that the tools of each cloud use."""
    obstore, parts = _obstore(), urlsplit(url)
    if not parts.scheme or parts.scheme == "memory":  # what is in memory no other process would see
        raise UsageError(f"--store: found {url!r}, expected a URL such as s3://bucket/path or file:///path")
    told = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    made = {"mkdir": True} if parts.scheme == "file" else {}
    try:
        store = obstore.store.from_url(url, **made)
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise UsageError(f"--store {told}: {_first_line(error)}") from error
    return ObjectStore(store, told=told)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip()


def _obstore() -> ModuleType:
    try:
        importlib.import_module("obstore.store")
        return importlib.import_module("obstore")
    except ImportError as error:
        raise UsageError("a run whose shards meet in an object store needs obstore", hint=EXTRA) from error
