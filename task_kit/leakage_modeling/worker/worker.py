"""A worker from outside: code, names and frames go in, texts and numbers come out, within limits.

What comes back from a box is checked. Whatever a box does, a call ends within its limit, and only this worker suffers.
It never gets labels of test or hidden rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from task_kit.leakage_modeling.worker import replies
from task_kit.leakage_modeling.worker.box import Box
from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped
from task_kit.leakage_modeling.worker.frames import Frames, flatten
from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.sandbox.spec import Limits, SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from task_kit.leakage_modeling.worker.box import Nursery
    from task_kit.leakage_modeling.worker.fitter import StopReason
    from task_kit.leakage_modeling.worker.replies import Said

TARGET = "target"
START_S = 600.0  # long, because many may start at once
SHORT_S = 10.0  # CPU time for what should take none
MEMORY_BYTES = 2 << 30
# of one variable: far more than can be submitted, yet harmless when many workers send them at once
MOST_NUMBERS = 1_000_000
LARGEST_PIPELINE = 64 << 20  # as bytes: a forest of five hundred trees takes 15 MB
LOST = "The worker was started again: all variables are gone; train_df and test_df are as they were at the beginning."
NO_MORE = "It will not be started again, so no more code can be run and nothing can be submitted."


class Views(Protocol):
    """The part of a world that an agent may see."""

    @property
    def train(self) -> pd.DataFrame: ...
    @property
    def test(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The result of running code.

    `reason` is the limit that stopped the worker; `alive` says whether there is one now.
    """

    stdout: str
    error: str | None = None
    reason: StopReason | None = None
    alive: bool = True


class Refused(Exception):
    """A name or a value cannot be submitted; the message says why."""


class Workers:
    """Gives each episode a worker of its own."""

    def __init__(self, nursery: Nursery, *, limits: CallLimits | None = None) -> None:
        self._nursery = nursery
        self._limits = limits or CallLimits()

    def start(self, world: Views) -> Worker:
        """Raises `task_kit.sandbox.SandboxError` when the machine cannot start one."""
        worker = Worker(self._nursery, world, limits=self._limits)
        worker.begin()
        return worker


class Worker:
    """The worker of one agent, and the boxes in which its pipeline is judged.

    When it dies it is replaced, until it has died too often.
    """

    def __init__(self, nursery: Nursery, world: Views, *, limits: CallLimits) -> None:
        self._nursery = nursery
        self._limits = limits
        self._train, self._train_blobs = flatten(world.train)
        test, test_blobs = flatten(world.test)
        self._views = {"do": "session", "train": self._train, "test": test}
        self._view_blobs = [*self._train_blobs, *test_blobs]
        self._box: Box | None = None
        self._accepted: dict[str, bytes] = {}
        self.restarts = 0

    @property
    def alive(self) -> bool:
        return self._box is not None

    def begin(self) -> None:
        """Start the box. Raises `SandboxError`: no code of the agent has run in it, so a failure is the machine's."""
        box = Box(self._nursery.spawn())
        try:
            box.ask(replies.Started, self._views, blobs=self._view_blobs, timeout_s=START_S)
        except SandboxStopped as stopped:
            raise SandboxError(f"a worker could not be started: {stopped.sentence}") from stopped
        self._box = box

    def run(self, code: str) -> Ran:
        """Run code; it sees the variables of earlier code."""
        limits = self._limits
        request = {"do": "run", "code": code, "seconds": limits.run_s, "most": limits.stdout_chars}
        try:
            said, _ = self._ask(replies.SaidOfRun, request, seconds=limits.run_s)
        except SandboxStopped as stopped:
            return Ran(stdout="", error=self._replace(stopped), reason=stopped.reason, alive=self.alive)
        stdout = said.stdout[: limits.stdout_chars]
        if said.cut:
            stdout += f"\n… {said.cut} more characters were cut: only the first {limits.stdout_chars} are shown"
        return Ran(stdout=stdout, error=said.error)

    def value(self, name: str) -> np.ndarray:
        """The numbers of a variable, of any shape."""
        request = {"do": "value", "name": name, "most": MOST_NUMBERS}
        said, blobs = self._ask_or_refuse(replies.SaidOfValue, request, most_bytes=8 * MOST_NUMBERS)
        if said.error is not None or said.shape is None:
            raise Refused(said.error or f"{name}: no value")
        if len(blobs) != 1 or not _fits(said.shape, blobs[0]):
            raise Refused(f"{name}: found {[len(blob) for blob in blobs][:5]} bytes for shape {said.shape}")
        return _numbers(blobs[0]).reshape(said.shape)

    def check_pipeline(self, name: str) -> None:
        """Raise `Refused` if the grader could not clone, copy and fit it. An accepted pipeline is kept as it is now."""
        self._accepted[name] = self._copy_of(name)

    def _copy_of(self, name: str) -> bytes:
        said, blobs = self._ask_or_refuse(replies.SaidOfPack, {"do": "pack", "name": name}, most_bytes=LARGEST_PIPELINE)
        if said.error is not None:
            raise Refused(said.error)
        if len(blobs) != 1:
            raise Refused(f"{name}: found {len(blobs)} copies, expected one")
        return bytes(blobs[0])

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        """See `Fitter`. The pipeline is fitted in a box of its own; each frame is predicted in another one."""
        try:
            unfitted = self._accepted.get(pipeline) or self._copy_of(pipeline)
        except Refused as refused:
            raise PipelineError("pipeline_contract", f"the pipeline cannot be fitted: {refused}") from refused
        flat = (frames if isinstance(frames, Frames) else Frames(frames)).flat
        limits = self._limits
        fit = {"do": "fit", "train": self._train, "target": TARGET, "seconds": limits.fit_s}
        model = self._work("fit", fit, [unfitted, *self._train_blobs], most_bytes=LARGEST_PIPELINE).tobytes()
        found = []
        for frame, (shape, blobs) in zip(frames, flat, strict=True):
            predict = {"do": "predict", "frame": shape, "seconds": limits.predict_s}
            said = self._work("predict", predict, [model, *blobs], most_bytes=8 * len(frame))
            if len(said) != 8 * len(frame):
                raise SandboxStopped("protocol", "the pipeline answered for other rows than it was asked about")
            found.append(_numbers(said))
        return found

    def close(self) -> None:
        """Kill the process and everything it started, and wait until all are dead."""
        box, self._box = self._box, None
        if box is not None:
            box.close()

    def _work(self, stage: str, request: dict[str, Any], blobs: Sequence[bytes], *, most_bytes: int) -> memoryview:
        """One fit or one prediction, in a box for it alone."""
        seconds = request["seconds"]
        clock_s = self._limits.clock_s(seconds)
        box = Box(self._nursery.spawn(limits=_box_limits(seconds, clock_s)))
        try:
            said, found = box.ask(replies.SaidOfWork, request, blobs=blobs, timeout_s=clock_s, most_bytes=most_bytes)
        finally:
            box.close()
        if said.fault is not None:
            raise _as_error(stage, said.fault)
        if len(found) != 1:
            raise SandboxStopped("protocol", f"the pipeline's {stage} gave {len(found)} answers, expected one")
        return found[0]

    def _ask_or_refuse(
        self, kind: type[Said], request: dict[str, Any], *, most_bytes: int
    ) -> tuple[Said, list[memoryview]]:
        try:
            return self._ask(kind, request, seconds=SHORT_S, most_bytes=most_bytes)
        except SandboxStopped as stopped:
            raise Refused(self._replace(stopped)) from stopped

    def _ask(
        self, kind: type[Said], request: dict[str, Any], *, seconds: float, most_bytes: int = 0
    ) -> tuple[Said, list[memoryview]]:
        """Ask the agent's session. If that ends, there is no worker any more."""
        box = self._box
        if box is None:
            raise SandboxStopped("exit", "there is no worker any more")
        try:
            return box.ask(kind, request, timeout_s=self._limits.clock_s(seconds), most_bytes=most_bytes)
        except SandboxStopped:
            self._box = None
            raise

    def _replace(self, stopped: SandboxStopped) -> str:
        """Start a new worker if the agent may still have one. Returns what the agent is told."""
        if self._box is None and self.restarts < self._limits.restarts:
            self.restarts += 1
            self.begin()
        return f"{stopped.sentence[:1].upper()}{stopped.sentence[1:]}. {LOST if self.alive else NO_MORE}"


def _box_limits(seconds: float, clock_s: float) -> Limits:
    """Limits a little wider than those that the box keeps itself, so that it can report reaching them."""
    return Limits(wall_s=clock_s + 60.0, cpu_s=seconds + 30.0, memory_bytes=MEMORY_BYTES)


def _as_error(stage: str, fault: replies.Fault) -> Exception:
    match fault.kind:
        case "slept":
            return SandboxStopped("timeout", f"the pipeline's {stage} was stopped: {fault.said}")
        case "computed":
            return SandboxStopped("cpu", f"the pipeline's {stage} was stopped: {fault.said}")
        case "contract":
            return PipelineError("pipeline_contract", f"the pipeline's {stage} failed: {fault.said}")


def _fits(shape: list[int], blob: memoryview) -> bool:
    """Whether numpy can give the bytes this shape. Even empty arrays may not have dimensions of any size."""
    size = 8
    for length in shape:
        size *= max(length, 1)
        if size > 8 * MOST_NUMBERS:
            return False
    return (0 if 0 in shape else size) == len(blob)


def _numbers(blob: memoryview) -> np.ndarray:
    return np.frombuffer(blob, dtype="<f8").copy()
