"""`profiler doctor`: what this machine has for a run: versions, mode, key, terminal and disk.

It changes nothing and never shows a key.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from profiler.cli.banner import key_under_another_name
from profiler.core.errors import UsageError
from profiler.provider.address import BASE_URL, doubt_of, parsed
from profiler.provider.source import KEY, MODE, choose_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OLDEST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 100 << 20
NEEDED = (
    *("anyio", "anthropic", "aiofiles", "genai-prices", "google-re2", "httptools", "httpx2", "jsonschema"),
    *("msgspec", "orjson", "pyyaml", "referencing", "rich"),
)
OPTIONAL = ("uvloop", "pyarrow")
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


class Check(msgspec.Struct, frozen=True):
    name: str
    ok: bool
    found: str


def examine(output_dir: Path, *, environ: Mapping[str, str]) -> list[Check]:
    return [_python(), *_packages(), *_provider(environ), _terminal(), *_disk(output_dir)]


def _python() -> Check:
    return Check("python", sys.version_info >= OLDEST_PYTHON, f"{platform.python_version()} ({sys.executable})")


def _packages() -> Iterator[Check]:
    for name in (*NEEDED, *OPTIONAL):
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, name in OPTIONAL, "not installed" + (" (optional)" if name in OPTIONAL else ""))


def _provider(environ: Mapping[str, str]) -> Iterator[Check]:
    yield _mode(environ)
    yield _base_url(environ.get(BASE_URL))
    proxies = [name for name in PROXIES if environ.get(name) or environ.get(name.lower())]
    yield Check("proxy", True, ", ".join(proxies) or "none")


def _mode(environ: Mapping[str, str]) -> Check:
    try:
        mode = choose_mode("auto", environ)
    except UsageError as error:
        return Check("mode", False, str(error))
    other = key_under_another_name(environ)
    why = f"{KEY} is set" if environ.get(KEY) else "no key is set"
    if other:
        why += f" ({other} is, which nothing reads: {KEY} is expected)"
    if environ.get(MODE):
        why = f"{MODE} says so; {why}"
    return Check("mode", True, f"auto means {mode}: {why}")


def _base_url(url: str | None) -> Check:
    try:
        address = parsed(url, told_by=BASE_URL) if url else None
    except UsageError as error:
        return Check("base url", False, str(error))
    if address is None:
        return Check("base url", True, "the provider's own")
    return Check("base url", True, doubt_of(address) or address.url)


def _terminal() -> Check:
    terminal = "a terminal" if sys.stderr.isatty() else "no terminal: plain lines"
    return Check("stderr", True, f"{terminal}, {sys.stderr.encoding}")


def _disk(output_dir: Path) -> Iterator[Check]:
    """The nearest existing folder must be writable, have room, and support locks."""
    folder = next(path for path in (output_dir.absolute(), *output_dir.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        yield Check("disk", False, f"{folder}: cannot write or lock: {error.strerror}")
        return
    free = shutil.disk_usage(folder).free
    yield Check("disk", free >= LEAST_FREE_BYTES, f"{folder}: writable, {free / 2**30:.1f} GiB free")
    yield Check("open files", True, f"at most {os.sysconf('SC_OPEN_MAX')}")
