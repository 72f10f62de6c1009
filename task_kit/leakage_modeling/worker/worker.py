"""A worker from outside: code, names and frames go in, texts and numbers come out, within limits.

Comes in: the two frames an agent may see. What comes back from the box is checked against the struct that was expected;
whatever the box does, a call ends within its limit, and only this worker is hurt. Labels of test or hidden rows are
never given to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped
from task_kit.leakage_modeling.worker.frames import Frames, flatten
from task_kit.leakage_modeling.worker.parcel import LARGEST, BadParcel, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from task_kit.leakage_modeling.worker.fitter import StopReason
    from task_kit.sandbox.spec import Reason

TARGET = "target"
GRACE_S = 2.0  # between the end of a call inside and the end of its worker
START_S = 120.0  # of a machine on which many start at once
SHORT_S = 10.0  # for what should take no time
END_S = 5.0  # for a worker that hung up to end by itself, which tells why; then it is ended
MOST_TURNS = 4.0
MOST_NUMBERS = 1_000_000  # of one variable: many times what can be submitted, and no burden when many send them at once
LOST = "The worker was started again: all variables are gone; train_df and test_df are as they were at the beginning."
MOST_DIMENSIONS = 64  # that numpy knows
LONGEST_SAID = 10_000  # characters of an error
NO_MORE = "It will not be started again, so no more code can be run and nothing can be submitted."


class End(Protocol):
    """How a process in a box ended; `reason` names the limit it ran into."""

    @property
    def reason(self) -> Reason | None: ...


class Child(Protocol):
    """A process in the box. An end or nonsense is an EOFError, silence a TimeoutError."""

    def send(self, message: bytes) -> None: ...
    def receive(self, timeout_s: float, *, most_bytes: int) -> bytes: ...
    def ends(self, timeout_s: float) -> bool: ...
    def kill(self) -> None: ...
    def outcome(self) -> End: ...


class Nursery(Protocol):
    """Where processes in the box come from, warm."""

    def spawn(self) -> Child: ...


class Views(Protocol):
    """The part of a world that an agent may see."""

    @property
    def train(self) -> pd.DataFrame: ...
    @property
    def test(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How long calls may take, how much of their output is kept, how often a dead worker is replaced."""

    run_s: float = 30.0
    fit_s: float = 60.0
    stdout_chars: int = 8_000
    restarts: int = 3

    def among(self, workers: int) -> CallLimits:
        """The same where so many compute at once: honest work waits for its turn then, and must not fail for it. Not
        without end, for whoever hangs takes as long."""
        turns = min(MOST_TURNS, max(1.0, workers / (os.cpu_count() or 1)))
        return replace(self, run_s=self.run_s * turns, fit_s=self.fit_s * turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of some code. `reason` says which limit stopped the worker; `alive`, whether there is one now."""

    stdout: str
    error: str | None = None
    reason: StopReason | None = None
    alive: bool = True


class Refused(Exception):
    """A name or a value that cannot be submitted; the message says why."""


Words = Annotated[str, Meta(max_length=LONGEST_SAID)]  # a box that says more says it to do harm


class Started(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    ready: bool


class SaidOfRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    stdout: str
    cut: int
    error: Words | None


class SaidOfValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    error: Words | None
    shape: Annotated[list[int], Meta(max_length=MOST_DIMENSIONS)] | None


class SaidOfPipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    error: Words | None


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Words
    stage: Words
    said: Words


class SaidOfPredictions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    fault: Fault | None


Said = TypeVar("Said", Started, SaidOfRun, SaidOfValue, SaidOfPipeline, SaidOfPredictions)


class Workers:
    """Gives every episode a worker of its own."""

    def __init__(self, nursery: Nursery, *, limits: CallLimits | None = None) -> None:
        self._nursery = nursery
        self._limits = limits or CallLimits()

    def start(self, world: Views) -> Worker:
        """Raises `task_kit.sandbox.SandboxError` when the machine cannot."""
        worker = Worker(self._nursery, world, limits=self._limits)
        worker.begin()
        return worker


class Worker:
    """One agent's worker, replaced when it dies, until it has died too often."""

    def __init__(self, nursery: Nursery, world: Views, *, limits: CallLimits) -> None:
        self._nursery = nursery
        self._limits = limits
        self._train, self._train_blobs = flatten(world.train)
        test, test_blobs = flatten(world.test)
        self._views = {"train": self._train, "test": test}
        self._view_blobs = [*self._train_blobs, *test_blobs]
        self._child: Child | None = None
        self._ids = 0
        self.restarts = 0

    @property
    def alive(self) -> bool:
        return self._child is not None

    def begin(self) -> None:
        self._child = self._nursery.spawn()
        self._ask(Started, self._views, blobs=self._view_blobs, timeout_s=START_S)

    def run(self, code: str) -> Ran:
        """Run code where the earlier code left its variables."""
        limits = self._limits
        request = {"do": "run", "code": code, "seconds": limits.run_s, "most": limits.stdout_chars}
        try:
            said, _ = self._ask(SaidOfRun, request, timeout_s=limits.run_s + GRACE_S)
        except SandboxStopped as stopped:
            return Ran(stdout="", error=self._replace(stopped), reason=stopped.reason, alive=self.alive)
        stdout = said.stdout[: limits.stdout_chars]
        if said.cut:
            stdout += f"\n… {said.cut} more characters were cut: only the first {limits.stdout_chars} are shown"
        return Ran(stdout=stdout, error=said.error)

    def value(self, name: str) -> np.ndarray:
        """The numbers of a variable, of any shape."""
        said, blobs = self._ask_or_refuse(
            SaidOfValue, {"do": "value", "name": name, "most": MOST_NUMBERS}, numbers=MOST_NUMBERS
        )
        if said.error is not None or said.shape is None:
            raise Refused(said.error or f"{name}: no value")
        if len(blobs) != 1 or not _fits(said.shape, blobs[0]):
            raise Refused(f"{name}: found {[len(blob) for blob in blobs]} bytes for shape {said.shape}")
        return _numbers(blobs[0]).reshape(said.shape)

    def check_pipeline(self, name: str) -> None:
        """Refuses what the grader could not clone and fit again."""
        said, _ = self._ask_or_refuse(SaidOfPipeline, {"do": "pipeline", "name": name})
        if said.error is not None:
            raise Refused(said.error)

    def fit_predict(self, pipeline: str, *, frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
        """See `Fitter`: a clone, fitted once on the rows that every episode of this world begins with."""
        flat = (frames if isinstance(frames, Frames) else Frames(frames)).flat
        request = {
            "do": "predict",
            "name": pipeline,
            "target": TARGET,
            "seconds": self._limits.fit_s,
            "train": self._train,
            "frames": [shape for shape, _ in flat],
        }
        blobs = [*self._train_blobs, *(blob for _, blobs in flat for blob in blobs)]
        numbers = sum(map(len, frames))
        timeout_s = self._limits.fit_s + GRACE_S
        said, found = self._ask(SaidOfPredictions, request, blobs=blobs, timeout_s=timeout_s, numbers=numbers)
        if said.fault is not None:
            raise _as_error(said.fault)
        if [len(blob) for blob in found] != [8 * len(frame) for frame in frames]:
            raise self._dead(SandboxStopped("protocol", "the worker answered with other rows than it was asked for"))
        return [_numbers(blob) for blob in found]

    def close(self) -> None:
        """Ends the process and waits until it is dead, with all that it started."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.outcome()

    def _ask_or_refuse(
        self, kind: type[Said], request: dict[str, Any], *, numbers: int = 0
    ) -> tuple[Said, list[memoryview]]:
        try:
            return self._ask(kind, request, timeout_s=SHORT_S, numbers=numbers)
        except SandboxStopped as stopped:
            raise Refused(self._replace(stopped)) from stopped

    def _ask(
        self,
        kind: type[Said],
        request: dict[str, Any],
        *,
        blobs: Sequence[bytes] = (),
        timeout_s: float,
        numbers: int = 0,
    ) -> tuple[Said, list[memoryview]]:
        """One question and its answer; a worker that does not give it in time, in form and in measure is dead.

        `numbers`: how many may come back at most. Answers of many workers lie in the memory of one grader.
        """
        child = self._child
        if child is None:
            raise SandboxStopped("exit", "there is no worker any more")
        self._ids += 1
        try:
            child.send(pack({"id": self._ids, **request}, blobs))
            header, found = unpack(child.receive(timeout_s, most_bytes=LARGEST + 8 * numbers))
            said = msgspec.convert(header, kind, strict=True)
        except TimeoutError as error:
            raise self._dead(SandboxStopped("timeout", f"the call was still running after {timeout_s:g} s")) from error
        except (OSError, EOFError) as error:
            raise self._dead(self._ended(child)) from error
        except (BadParcel, msgspec.ValidationError) as error:
            raise self._dead(SandboxStopped("protocol", f"the worker's answer is none: {error}")) from error
        if said.id != self._ids:
            raise self._dead(SandboxStopped("protocol", "the worker answered a question that was not asked"))
        return said, found

    def _ended(self, child: Child) -> SandboxStopped:
        """Why a worker hung up; one that did so and goes on is ended, or nobody would ever wait long enough."""
        if not child.ends(END_S):
            child.kill()
        reason = child.outcome().reason
        if reason is None:
            return SandboxStopped("exit", "the worker's process ended in the middle of the call")
        return SandboxStopped(reason, f"the worker was stopped at its limit: {reason}")

    def _dead(self, stopped: SandboxStopped) -> SandboxStopped:
        self.close()
        return stopped

    def _replace(self, stopped: SandboxStopped) -> str:
        """What the agent is told; a fresh worker stands where the dead one was, if it may still have one."""
        if self._child is None and self.restarts < self._limits.restarts:
            self.restarts += 1
            self.begin()
        return f"{stopped.sentence[:1].upper()}{stopped.sentence[1:]}. {LOST if self.alive else NO_MORE}"


def _as_error(fault: Fault) -> Exception:
    if fault.kind == "timeout":
        return SandboxStopped("timeout", f"the pipeline's {fault.stage} was stopped: {fault.said}")
    return PipelineError("pipeline_contract", f"the pipeline's {fault.stage} failed: {fault.said}")


def _fits(shape: list[int], blob: memoryview) -> bool:
    size = 8
    for length in shape:
        size *= length
    return len(shape) <= 8 and min(shape, default=0) >= 0 and size == len(blob)


def _numbers(blob: memoryview) -> np.ndarray:
    return np.frombuffer(blob, dtype="<f8").copy()
