"""The Python that works inside a box, what it needs to read of the host, and the distributions that it can import.

The interpreter is an empty virtual environment, made once for each user. Distributions are folders of links to what is
installed here, so that nothing else in the same site-packages (this project, its tests, an editable install) can be
imported or read.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from task_kit.sandbox.kept_folders import cache_folder, laid_out, taken
from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAYOUT = 1  # part of every name in the cache; to be changed when the layout changes
FLAGS = ("-s", "-P", "-B")
SITE_FOLDERS = ("site-packages", "dist-packages")
SYSTEM_PATHS = (
    *("/lib64", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/usr/lib/locale"),
    *(f"{top}/{sysconfig.get_config_var('MULTIARCH')}" for top in ("/lib", "/usr/lib", "/usr/local/lib")),
)
LEFT_OUT = frozenset({"..", "__pycache__"})  # scripts, and what Python writes itself
WHOLE = (".dist-info", ".libs", ".data")
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
EXTRA = re.compile(r";.*\bextra\s*==")


def python() -> tuple[str, ...]:
    """The first words of a command: an interpreter without this project and without site-packages."""
    return (str(empty_environment() / "bin" / "python"), *FLAGS)


def python_paths() -> tuple[Path, ...]:
    """What `python()` reads of the host: itself, the standard library and shared libraries."""
    base = Path(executable())
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    own = {base, base.resolve(), library, *shared_library()}
    system = {Path(path) for path in SYSTEM_PATHS}
    return tuple(sorted(path for path in {empty_environment(), *own, *system} if path.exists()))


def executable() -> str:
    return str(getattr(sys, "_base_executable", sys.executable))


def shared_library() -> Iterator[Path]:
    """libpython, if the interpreter was built with one."""
    folder = sysconfig.get_config_var("LIBDIR")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and folder:
        yield from Path(folder).glob("libpython*.so*")


@cache
def masked() -> list[str]:
    """Folders below readable paths that must not be read: what is installed into the interpreter itself."""
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    return [str(library / name) for name in SITE_FOLDERS if (library / name).is_dir()]


@cache
def empty_environment() -> Path:
    base = Path(executable())
    version = ".".join(map(str, sys.version_info[:3]))
    config = f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {version}\n"
    key = hashlib.sha256(f"{LAYOUT}\0{base}\0{config}".encode()).hexdigest()[:16]
    return laid_out(f"python-{key}", links={"bin/python": base}, files={"pyvenv.cfg": config})


def packages(names: Iterable[str]) -> tuple[Path, ...]:
    """A folder for PYTHONPATH and `readable` with these distributions and their dependencies, and nothing else."""
    return (farm(tuple(sorted({canonical(name) for name in names}))),)


@cache
def farm(names: tuple[str, ...]) -> Path:
    """The name contains the dates of site-packages, which change whenever something is installed or removed."""
    sites = [path for path in sys.path if Path(path).name in SITE_FOLDERS and Path(path).is_dir()]
    dates = [(path, os.stat(path).st_mtime_ns) for path in sites]
    folder = "packages-" + hashlib.sha256(repr((LAYOUT, names, sys.prefix, dates)).encode()).hexdigest()[:16]
    if (kept := taken(folder)) is not None:
        return kept
    links = {name: target for found in closure(names) for name, target in links_of(found)}
    return laid_out(folder, links=links, files={})


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: tuple[str, ...]) -> list[metadata.Distribution]:
    """The named distributions and everything that they need without extras, as far as it is installed."""
    found: dict[str, metadata.Distribution | None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = distribution = installed(name)
            waiting += required(distribution) if distribution else []
    if missing := [name for name in names if found[name] is None]:
        raise SandboxError(f"packages: not installed here: {', '.join(missing)}")
    return [distribution for distribution in found.values() if distribution]


def installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def required(distribution: metadata.Distribution) -> Iterator[str]:
    """Of markers, only extras are looked at: what others exclude is not installed, or does no harm."""
    for line in distribution.requires or ():
        name = REQUIREMENT.match(line)
        if name and not EXTRA.search(line):
            yield canonical(name[0])


def links_of(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """The distribution's own names in site-packages. A folder that is not a package may be shared, so it is entered."""
    site = Path(str(distribution.locate_file("")))
    names = {own_name(file.parts, site) for file in distribution.files or ()}
    yield from ((name, site / name) for name in names if name is not None)


def own_name(parts: tuple[str, ...], site: Path) -> str | None:
    if parts[0] in LEFT_OUT or parts[0].endswith(".pth"):
        return None
    taken = 1
    while taken < len(parts) and may_be_shared(site.joinpath(*parts[:taken])):
        taken += 1
    return None if parts[taken - 1] == "__pycache__" else "/".join(parts[:taken])


def may_be_shared(folder: Path) -> bool:
    return not folder.name.endswith(WHOLE) and not (folder / "__init__.py").exists()


def with_targets(readable: Iterable[Path]) -> list[Path]:
    """The paths, and for a folder of links also the targets of those."""
    found = []
    for path in readable:
        found.append(path)
        if path.parent == cache_folder():
            found += links_in(path)
    return found


@cache
def links_in(folder: Path) -> tuple[Path, ...]:
    """Asked only of our own folders: a link in any other must not open anything."""
    return tuple(path.readlink() for path in folder.rglob("*") if path.is_symlink())
