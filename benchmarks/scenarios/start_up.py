"""How long a command takes from the shell: `profiler --help` and the sample run, next to an interpreter that does nothing.

Each is a process of its own, compiled files are there already, as after an installation.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, alternate, median
from benchmarks.process import ROOT

if TYPE_CHECKING:
    from benchmarks.figure import Scale

SDK = "anthropic"
HELP = ("-m", "profiler", "--help")
SAMPLE = ("-m", "profiler", "run", "--mode", "mock", "--config", str(ROOT / "configs" / "sample_experiment.yaml"))


def measure(scale: Scale) -> list[Figure]:
    runs = scale.pick(11, quick=1)
    run_sample = partial(_in_new_folder, scale)
    _milliseconds(HELP)
    run_sample()
    nothing, shown, ran = alternate(
        runs, partial(_milliseconds, ("-c", "pass")), partial(_milliseconds, HELP), run_sample
    )
    imported = [words for words in (HELP, SAMPLE) if _imports_sdk(scale, words)]
    return [
        median("help", shown, unit="ms", at_most=100.0),
        median("sample_run", ran, unit="ms", at_most=350.0),
        median("bare_python", nothing, unit="ms"),
        Figure(name="imports_of_sdk", value=len(imported), at_most=0, note=f"commands of the two that import {SDK}"),
    ]


def _in_new_folder(scale: Scale) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        return _milliseconds((*SAMPLE, "--output-dir", folder))


def _milliseconds(words: tuple[str, ...]) -> float:
    begun = time.perf_counter()
    _run(words)
    return (time.perf_counter() - begun) * 1e3


def _imports_sdk(scale: Scale, words: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        where = ("--output-dir", folder) if words == SAMPLE else ()
        told = _run(("-X", "importtime", *words, *where))
    modules = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    if "profiler.cli.main" not in modules:
        raise ValueError(f"{words} did not say what it imports")
    return SDK in modules


def _run(words: tuple[str, ...]) -> str:
    """What the command says on stderr; it must succeed."""
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True, text=True).stderr
