"""How long a command takes from the shell, next to an interpreter that does nothing.

Measured are `profiler --help`, the sample run, and a live run up to its first request at a bare socket. Each is a
process of its own; compiled files are there already, as after an installation.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, alternate, median
from benchmarks.process import ROOT

if TYPE_CHECKING:
    from benchmarks.figure import Scale

SDK = "anthropic"
HELP = ("-m", "profiler", "--help")
SAMPLE = ("-m", "profiler", "run", "--mode", "mock", "--config", str(ROOT / "configs" / "sample_experiment.yaml"))

KEY = {"ANTHROPIC_API_KEY": "none"}
PATIENCE_S = 60.0
MESSAGE = json.dumps(
    {
        "type": "message",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "Paris."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 12, "output_tokens": 3},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(MESSAGE), MESSAGE)


def measure(scale: Scale) -> list[Figure]:
    runs = scale.pick(11, quick=1)
    run_sample, ask_first = partial(_in_new_folder, scale), partial(_until_the_first_request, scale)
    _milliseconds(HELP)
    run_sample()
    ask_first()
    nothing, shown, ran, asked = alternate(
        runs, partial(_milliseconds, ("-c", "pass")), partial(_milliseconds, HELP), run_sample, ask_first
    )
    imported = [words for words in (HELP, SAMPLE) if _imports_sdk(scale, words)]
    return [
        median("help", shown, unit="ms", at_most=100.0),
        median("sample_run", ran, unit="ms", at_most=350.0),
        median("live_first_request", asked, unit="ms", at_most=400.0),
        median("bare_python", nothing, unit="ms"),
        Figure(name="imports_of_sdk", value=len(imported), at_most=0, note=f"commands of the two that import {SDK}"),
    ]


def _in_new_folder(scale: Scale) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        return _milliseconds((*SAMPLE, "--output-dir", folder))


def _until_the_first_request(scale: Scale) -> float:
    """Seconds from the start of a live run to the first byte of its request.

    The run then gets its answer and must succeed.
    """
    with socket.socket() as listening, tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(PATIENCE_S)
        words = _live_run(Path(folder), port=listening.getsockname()[1])
        begun = time.perf_counter()
        with (
            subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=os.environ | KEY,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as run,
            listening.accept()[0] as asking,
        ):
            asking.recv(1)
            took = time.perf_counter() - begun
            asking.sendall(ANSWER)
            said, _ = run.communicate(timeout=PATIENCE_S)
        if run.returncode:
            raise subprocess.CalledProcessError(run.returncode, words, said)
    return took * 1e3


def _live_run(folder: Path, *, port: int) -> tuple[str, ...]:
    (folder / "dialogues.jsonl").write_text('{"dialogue_id": "d", "user": "Capital of France?"}\n', encoding="utf-8")
    manifest = {
        "experiment_id": "first",
        "model": "claude-haiku-4-5",
        "max_tokens": 16,
        "dataset_path": "dialogues.jsonl",
        "base_url": f"http://127.0.0.1:{port}",
    }
    (folder / "manifest.yaml").write_text(json.dumps(manifest), encoding="utf-8")  # JSON is YAML
    where = ("--config", str(folder / "manifest.yaml"), "--output-dir", str(folder / "runs"))
    return ("-m", "profiler", "run", "--mode", "live", *where)


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
    """What the command prints on stderr. It must succeed."""
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True, text=True).stderr
