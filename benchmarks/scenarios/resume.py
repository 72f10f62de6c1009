"""How soon a large run that was killed when it was 99 % done makes its next call, from the start of the process.

The run directory is real: the command line runs the manifest, and its client kills the process (SIGKILL) when 99 % of
the dialogues have been asked. Measured is the same command again; its client kills the process at its first call, so
that the next measurement finds the same directory. That is the usual case, where nearly all lines are in order already.

The hardest case is a first dialogue that was stalled all the time, so that nothing is in order yet. Its directory is
the same one without the line of dialogue 0 in the journal, and with an empty responses.jsonl.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.clients import DIE_AT, MARK
from benchmarks.figure import Figure, median
from benchmarks.process import ROOT, ChildFailed

if TYPE_CHECKING:
    from benchmarks.figure import Scale

SOON_S = 5.0
MANIFEST = """\
experiment_id: {experiment_id}
model: {model}
max_tokens: {max_tokens}
dataset_path: {dataset}
client: benchmarks.clients:dying
"""


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(1_000_000, quick=2_000)
    folder = scale.folder / "resume"
    folder.mkdir()
    manifest = _manifest(folder, workload.dialogues(scale, count))
    _seconds_to_call(manifest, call=count * 99 // 100)
    usual = [_seconds_to_call(manifest, call=1) for _ in range(scale.few)]
    _forget_the_first(folder / workload.EXPERIMENT_ID)
    hardest = [_seconds_to_call(manifest, call=1) for _ in range(scale.few)]
    return [
        median("first_call", usual, unit="s", at_most=SOON_S, note=f"{count:,} dialogues, 99 % done"),
        median("first_call_stalled", hardest, unit="s", at_most=SOON_S, note="the same, dialogue 0 never answered"),
    ]


def _manifest(folder: Path, dataset: Path) -> Path:
    path = folder / "manifest.yaml"
    text = MANIFEST.format(
        experiment_id=workload.EXPERIMENT_ID, model=workload.MODEL, max_tokens=workload.MAX_TOKENS, dataset=dataset
    )
    path.write_text(text, encoding="utf-8")
    return path


def _seconds_to_call(manifest: Path, *, call: int) -> float:
    """Run the manifest until the given call begins. Both processes read the system's monotonic clock."""
    mark = manifest.with_name("mark")
    mark.unlink(missing_ok=True)
    command = [sys.executable, "-m", "profiler", "run", "--mode", "mock", "--quiet"]
    command += ["--config", str(manifest), "--output-dir", str(manifest.parent)]
    begun = time.monotonic()
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, DIE_AT: str(call), MARK: str(mark)}, capture_output=True, check=False
    )
    if ended.returncode != -signal.SIGKILL:
        raise ChildFailed(f"the run ended with exit code {ended.returncode}: {ended.stderr.decode()}")
    return float(mark.read_text(encoding="utf-8")) - begun


def _forget_the_first(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    rest = folder.with_name("journal.rest")
    with journal.open("rb") as lines, rest.open("wb") as kept:
        kept.writelines(line for line in lines if b'"index":0,' not in line)
    rest.replace(journal)
    (folder / "responses.jsonl").write_bytes(b"")
