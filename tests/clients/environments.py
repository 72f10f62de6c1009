"""The virtual environments of foreign clients. Each has its own pins here, and is made in `.venv-clients/`.

python -m tests.clients.environments python typescript     # those two, from their pins
NEWEST=1 python -m tests.clients.environments               # all, in their newest versions
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NEWEST = "NEWEST"  # variable: the environments in their newest versions are meant
NAMES = ("python", "typescript", "frameworks", "instructor", "llm", "agents", "typescript-agents")


class Environment(NamedTuple):
    name: str
    newest: bool

    @property
    def source(self) -> Path:
        return HERE / self.name

    @property
    def folder(self) -> Path:
        return ROOT / (".venv-clients-newest" if self.newest else ".venv-clients") / self.name

    @property
    def is_node(self) -> bool:
        return (self.source / "package.json").exists()

    @property
    def pins(self) -> Path:
        if self.is_node:
            return self.source / ("package.json" if self.newest else "package-lock.json")
        return self.source / ("requirements.in" if self.newest else "requirements.txt")

    @property
    def stamp(self) -> Path:
        return self.folder / ".made-from"

    @property
    def made(self) -> bool:
        return self.stamp.is_file() and self.stamp.read_bytes() == self.pins.read_bytes()

    @property
    def missing(self) -> str | None:
        """The program that is needed to make it and is not here."""
        return "npm" if self.is_node and shutil.which("npm") is None else None

    @property
    def command(self) -> list[str]:
        """What runs the program that asks, in the environment."""
        if self.is_node:
            return ["node", str(self.folder / "run.mjs")]
        return [str(self.folder / "bin" / "python"), str(self.source / "checks.py")]

    def make(self) -> None:
        """The stamp is written last, so that one that was interrupted is made again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.is_node:
            self._make_node()
        else:
            self._make_python()
        self.stamp.write_bytes(self.pins.read_bytes())

    def _make_python(self) -> None:
        venv.create(self.folder, with_pip=True, symlinks=True)
        hashes = [] if self.newest else ["--require-hashes"]
        quiet = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-input"]
        python = self.folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", *quiet, *hashes, "-r", self.pins], check=True)

    def _make_node(self) -> None:
        self.folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(self.source / name, self.folder)
        wanted = ["ci"]
        if self.newest:
            packages = json.loads((self.source / "package.json").read_bytes())["dependencies"]
            wanted = ["install", *(f"{package}@latest" for package in packages)]
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(["npm", *wanted, *quiet], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)


def environment(name: str) -> Environment:
    return Environment(name, newest=os.environ.get(NEWEST, "") not in ("", "0"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the environments of foreign clients that are not up to date.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    for name in parser.parse_args().names or NAMES:
        if name not in NAMES:
            parser.error(f"found {name!r}, expected one of {', '.join(NAMES)}")
        wanted = environment(name)
        if wanted.missing is not None:
            print(f"{name}: needs {wanted.missing}, which is not here", file=sys.stderr)
            return 1
        if not wanted.made or wanted.newest:
            print(f"making {wanted.folder.relative_to(ROOT)}", flush=True)
            wanted.make()
    return 0


if __name__ == "__main__":
    sys.exit(main())
