"""Makes `.venv` from the pins, or finds that it is up to date and does nothing.

`run` installs what a run needs and no more; `all` adds what tests, checks and the second task need, and this checkout,
editable. Needs the standard library alone.

Each step leaves a stamp with everything it was made from, written last: an interrupted step is done again, a pull that
changed the pins is noticed by content and not by date, and a folder that was moved gets a new environment.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PROJECT = ROOT / "pyproject.toml"
PINS = {"run": ROOT / "requirements-run.txt", "all": ROOT / "requirements.txt"}  # the second holds the first
STAMPS = {"run": VENV / ".made-from-run-pins", "all": VENV / ".made-from-all-pins"}
STAMP = VENV / ".made-from"  # of `all` and this checkout; the Makefile compares it too, and need not start Python


def main(wanted: str) -> int:
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once take turns; the kernel frees it however we end
        there = [stage for stage in PINS if is_made_from(STAMPS[stage], PINS[stage])]
        if not there or not starts(PYTHON):
            make_empty()
            there = []
        if "all" not in there and wanted not in there:
            install_pins(wanted)
        if wanted == "all" and not is_made_from(STAMP, PINS["all"], PROJECT):
            install_project()
    return 0


def made_from(*sources: Path) -> bytes:
    return os.fsencode(ROOT) + b"\n" + b"".join(source.read_bytes() for source in sources)


def is_made_from(stamp: Path, *sources: Path) -> bool:
    return stamp.is_file() and stamp.read_bytes() == made_from(*sources)


def starts(python: Path) -> bool:
    """False too when the interpreter behind the link was removed or replaced."""
    try:
        return subprocess.run([python, "-c", ""], check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def make_empty() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SystemExit(
            f"{sys.executable} cannot make virtual environments: its module ensurepip is missing.\n"
            f"Install it (Debian and Ubuntu: apt install python{version}-venv), or name another Python: "
            "make PYTHON=/path/to/python3"
        )
    say(f"making .venv with Python {sys.version.split()[0]}")
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    venv.EnvBuilder(symlinks=True, with_pip=True).create(VENV)


def install_pins(stage: str) -> None:
    """Modules are compiled where many are used, and else when one is first imported."""
    hashed = ("--require-hashes", "-r", PINS[stage])
    compiled = stage == "all"
    if not installed_with_uv(*hashed, *(["--compile-bytecode"] if compiled else [])):
        say(f"installing {PINS[stage].name} with pip")
        pip(*hashed, *([] if compiled else ["--no-compile"]))
    STAMPS[stage].write_bytes(made_from(PINS[stage]))


def installed_with_uv(*arguments: str | Path) -> bool:
    uv = shutil.which("uv")
    if not uv:
        return False
    say("installing the pins with uv")
    try:
        run(uv, "pip", "install", "--quiet", "--python", PYTHON, *arguments)
    except subprocess.CalledProcessError:
        say("uv failed, pip is tried instead (it may know an index or a certificate that uv does not)")
        return False
    return True


def install_project() -> None:
    """Editable, with the pinned build backend: nothing here is ever resolved or fetched outside the pins."""
    pip("--no-deps", "--no-index", "--no-build-isolation", "-e", ROOT)
    # whoever forbids Python to write bytecode starts as quickly
    run(PYTHON, "-m", "compileall", "-q", "profiler", "task_kit", "grader")
    STAMP.write_bytes(made_from(PINS["all"], PROJECT))


def pip(*arguments: str | Path) -> None:
    run(PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", *arguments)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)


def say(text: str) -> None:
    sys.stderr.write(f"set-up: {text}\n")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except subprocess.CalledProcessError as failed:
        say(f"failed, and will be tried again by the next make: {' '.join(map(str, failed.cmd))}")
        sys.exit(failed.returncode if failed.returncode > 0 else 1)
    except KeyboardInterrupt:
        say("interrupted; the next make starts it over")
        sys.exit(130)
