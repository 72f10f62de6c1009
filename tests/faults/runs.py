"""Starts real runs in processes of their own, and looks at what they leave on disk.

`Site` writes a manifest and dialogues given as plain values; its command can then be started, killed and started again.
Calls of the client are counted outside of the process, which is seen from outside only.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from profiler.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
SHIM = Path(__file__).resolve().parent / "shim"
LOGS = ("requests.jsonl", "responses.jsonl")
COMPLETE = {*LOGS, "scores.jsonl", "summary.json"}
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        """The JSON that a run with --json printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(slots=True, kw_only=True)
class Site:
    """A folder with a manifest and its dataset, in which runs are made; calls are counted for each output directory."""

    folder: Path
    runs: str = "runs"
    experiment_id: str = "trial"
    mode: str = "mock"
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, dialogues: Sequence[dict[str, Any]], *, client: str | None = "Counting", **settings: Any) -> Site:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dataset.write_text("".join(json.dumps(dialogue) + "\n" for dialogue in dialogues), encoding="utf-8")
        manifest = {
            "experiment_id": self.experiment_id,
            "model": "claude-haiku-4-5",
            "max_tokens": 64,
            "dataset_path": self.dataset.name,
            **({"client": f"tests.faults.clients:{client}"} if client else {}),
            **settings,
        }
        # JSON is YAML
        self.manifest.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        return self

    def at(self, runs: str, **environ: str) -> Site:
        """The same manifest with another output directory."""
        return replace(self, runs=runs, environ=self.environ | environ)

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.yaml"

    @property
    def dataset(self) -> Path:
        return self.folder / "dialogues.jsonl"

    @property
    def run_dir(self) -> Path:
        return self.folder / self.runs / self.experiment_id

    @property
    def journal(self) -> Path:
        return self.run_dir / "journal.jsonl"

    @property
    def requests(self) -> Path:
        return self.run_dir / "requests.jsonl"

    @property
    def responses(self) -> Path:
        return self.run_dir / "responses.jsonl"

    @property
    def summary(self) -> Path:
        return self.run_dir / "summary.json"

    def command(self, *more: str) -> list[str]:
        words = [
            "run",
            "--config",
            str(self.manifest),
            "--output-dir",
            str(self.folder / self.runs),
            "--mode",
            self.mode,
        ]
        return [sys.executable, "-m", "profiler", *words, *more]

    def start(
        self, *more: str, wrapper: Sequence[str] = (), command: Sequence[str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*wrapper, *(command or self.command(*more))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self._environment(),
        )

    def run(self, *more: str, wrapper: Sequence[str] = ()) -> Ended:
        return ended(self.start(*more, wrapper=wrapper))

    def run_here(self, *more: str, command: Sequence[str] | None = None) -> Ended:
        """Run the same command line in this process, for tests that kill nothing: ten times as fast."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._environment())
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main((command or self.command(*more))[3:])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Ended(code=code, out=out.getvalue(), err=err.getvalue())

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        seen = {"FAULTS_CALLS": str(self.call_log), "FAULTS_DATASET": str(self.dataset)}
        path = os.pathsep.join([str(SHIM), str(ROOT)])
        return kept | {"PYTHONPATH": path, "PYTHONUTF8": "1"} | seen | self.environ

    @property
    def call_log(self) -> Path:
        return self.folder / f"{self.runs}.calls"

    def calls(self) -> list[str]:
        """The dialogue of each call that was ever made for this output directory, in order; `d3#1` is a repeat of one."""
        return self.call_log.read_text(encoding="utf-8").split() if self.call_log.exists() else []

    def answered(self) -> set[str]:
        """Every dialogue, or repeat of one, that has a whole line in the journal."""
        records = [record for record in whole_records(self.journal)[1:] if "dialogue_id" in record]
        return {each["dialogue_id"] + (f"#{each['repeat']}" if "repeat" in each else "") for each in records}

    def results(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.run_dir.iterdir()}


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the process to end. One that does not is killed, so its exit code fails the test."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Ended(code=process.returncode, out=out, err=err)


def kill(process: subprocess.Popen[str]) -> bool:
    """Kill the process; return whether it had not ended before."""
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


class Waitable(Protocol):
    """A process as `wait_until` needs it: `wait` raises `subprocess.TimeoutExpired` while it lives."""

    def wait(self, timeout: float, /) -> object: ...


def wait_until(process: Waitable, happened: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> bool:
    """Look again and again until it happened, the process ended or patience did; return whether it happened."""
    give_up = time.monotonic() + patience_s
    while not happened() and time.monotonic() < give_up:
        try:
            process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        break
    return happened()


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def whole_lines(path: Path) -> list[bytes]:
    try:
        found = path.read_bytes()
    except FileNotFoundError:  # also one that the run removes just now
        return []
    return [line for line in found.splitlines(keepends=True) if line.endswith(b"\n")]


def whole_records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole_lines(path)]


def dialogues(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"dialogue_id": f"d{number}", "user": f"Tell me about {number}.", "required_facts": ["sun"], **more}
        for number in range(count)
    ]


def differing(found: dict[str, bytes], expected: dict[str, bytes]) -> Iterator[str]:
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            yield f"{name}: {len(found.get(name, b''))} bytes differ from the {len(expected.get(name, b''))} expected"


def refused(run: Ended, *words: str) -> bool:
    """Whether a run failed in a way that a person can understand: exit code 2, the reason, and no traceback."""
    assert "Traceback" not in run.said, run.said
    assert run.code == 2, run
    assert all(word in run.err for word in words), run.err
    return True
