"""A browser for the tests of reports, and axe-core, which finds what is in the way of people with disabilities.

`python -m tests.browser.prepare` installs Chromium from the system's packages, where it may and there is none, and
axe-core by its pinned hash; it ends with 0 when both are here and the browser opens a page. Needs apt and npm for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / ".venv-browser"
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root and in containers it has no sandbox. One process for all pages is enough.
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--renderer-process-limit=1"]
REQUIRED = "BROWSER"  # variable: tests must not skip, for all that they need is known to be here
PATIENCE_S = 600


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def main() -> int:
    try:
        if program() is None:
            install_browser()
        if not AXE.is_file() or stamp() != pins():
            install_axe()
        open_page()
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        print(f"no browser for the tests of reports: {error}", file=sys.stderr)
        return 1
    return 0


def install_browser() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError("there is none, and only root can install one, with apt-get")
    impatient = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        command = ["apt-get", "--quiet", "--quiet", *impatient, *words]
        subprocess.run(command, check=True, env=environ, timeout=PATIENCE_S, stdout=subprocess.DEVNULL)
    if program() is None:
        raise RuntimeError("the package chromium was installed and has no such program")


def pins() -> bytes:
    return (HERE / "package-lock.json").read_bytes()


def stamp() -> bytes:
    made_from = FOLDER / ".made-from"
    return made_from.read_bytes() if made_from.is_file() else b""


def install_axe() -> None:
    if shutil.which("npm") is None:
        raise RuntimeError("axe-core needs npm")
    FOLDER.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, FOLDER)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(["npm", "ci", *quiet], cwd=FOLDER, check=True, timeout=PATIENCE_S, stdout=subprocess.DEVNULL)
    (FOLDER / ".made-from").write_bytes(pins())


def open_page() -> None:
    """A browser that is installed may still not start, in a container for example."""
    command = [str(program()), "--headless", *FLAGS, "--dump-dom", "data:text/html,<p>it%20opens"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    if "it opens" not in found.stdout:
        raise RuntimeError(f"{command[0]} does not open a page")


if __name__ == "__main__":
    sys.exit(main())
