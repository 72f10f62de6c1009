"""Writes the parts of docs/ that are captured from the program: `make docs`. Tests compare them with what it says now.

Comes in: the installed command line. Goes out: docs/cli.md, one section a command in the order in which `--help`
lists them, and docs/SAMPLE_RESULTS.md, what the sample and the sweep print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLI = ROOT / "docs" / "cli.md"
RESULTS = ROOT / "docs" / "SAMPLE_RESULTS.md"

CLI_INTRODUCTION = """\
# Command line

What `--help` says, written by `make docs`. `python -m profiler` is the same as `profiler`.
"""

RESULTS_INTRODUCTION = """\
# Sample results

What the two manifests of this repository print in mock mode, written by `make docs` and compared with a real run by a
test. The mock is deterministic, so every machine prints the same.
"""

SAMPLE = "configs/sample_experiment.yaml"
SWEEP = "configs/sweep.yaml"


def cli_reference() -> str:
    overview = said_by("--help")
    return "\n".join(
        [CLI_INTRODUCTION, section("profiler --help", overview), *map(command_section, commands(overview))]
    )


def command_section(command: str) -> str:
    return section(f"profiler {command} --help", said_by(command, "--help"))


def commands(overview: str) -> list[str]:
    """The first word of each line under the list of commands."""
    listed = overview.partition("COMMAND\n")[2].partition("\n\n")[0]
    return re.findall(r"^ {4}([a-z][a-z-]*)", listed, flags=re.MULTILINE)


def sample_results() -> str:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        sections = [
            captured(runs, "run", "--config", SAMPLE, "--output-dir", "runs", "--mode", "mock"),
            captured(runs, "summarize", "--log-dir", "runs/demo_run"),
            captured(runs, "run", "--config", SWEEP, "--output-dir", "runs", "--mode", "mock"),
            captured(runs, "summarize", "--log-dir", "runs/" + first_of_sweep(runs), "--by-tag"),
        ]
    return "\n".join([RESULTS_INTRODUCTION, *sections])


def first_of_sweep(runs: Path) -> str:
    return min(path.name for path in runs.glob("sweep*"))


def captured(runs: Path, *words: str) -> str:
    """A command and its standard output, with the temporary folder called `runs`."""
    given = [word.replace("runs", str(runs), 1) if word.startswith("runs") else word for word in words]
    said = said_by(*given).replace(str(runs), "runs")
    return section("profiler " + " ".join(words), said)


def section(title: str, text: str) -> str:
    return f"## `{title}`\n\n```text\n{text.strip()}\n```\n"


def said_by(*command: str) -> str:
    """At a fixed width and without colour, so that every machine writes the same text."""
    return subprocess.run(
        [sys.executable, "-m", "profiler", *command],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHON_COLORS": "0"},
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout


if __name__ == "__main__":
    CLI.write_text(cli_reference(), encoding="utf-8")
    RESULTS.write_text(sample_results(), encoding="utf-8")
