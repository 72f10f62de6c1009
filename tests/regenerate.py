"""Writes docs/cli.md from what `--help` says: `make docs`. A test compares the two.

Comes in: the installed command line. Goes out: one section a command, in the order in which `--help` lists them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "cli.md"
INTRODUCTION = """\
# Command line

What `--help` says, written by `make docs`. `python -m profiler` is the same as `profiler`.
"""


def cli_reference() -> str:
    overview = help_of()
    return "\n".join([INTRODUCTION, section("profiler", overview), *map(command_section, commands(overview))])


def command_section(command: str) -> str:
    return section(f"profiler {command}", help_of(command))


def section(title: str, text: str) -> str:
    return f"## `{title}`\n\n```text\n{text.strip()}\n```\n"


def commands(overview: str) -> list[str]:
    """argparse lists them in braces on the usage line."""
    listed = re.search(r"\{([\w,-]+)\}", overview)
    return listed[1].split(",") if listed else []


def help_of(*command: str) -> str:
    """At a fixed width and without colour, so that every machine writes the same text."""
    return subprocess.run(
        [sys.executable, "-m", "profiler", *command, "--help"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHON_COLORS": "0"},
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout


if __name__ == "__main__":
    TARGET.write_text(cli_reference(), encoding="utf-8")
