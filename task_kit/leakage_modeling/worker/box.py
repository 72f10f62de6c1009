"""One process in a box, from its first question to its end. What it says is checked, and what it does to itself is its own fault."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from task_kit.leakage_modeling.worker import replies
from task_kit.leakage_modeling.worker.fitter import SandboxStopped
from task_kit.leakage_modeling.worker.parcel import LARGEST, BadParcel, pack, unpack
from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from task_kit.leakage_modeling.worker.replies import Said
    from task_kit.sandbox.spec import Limits, Reason

END_S = 5.0  # for a process that hung up to end by itself, which tells why; then it is ended


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
    """Where processes in boxes come from, warm."""

    def spawn(self, *, limits: Limits | None = None) -> Child: ...


class Box:
    """One process, from its first question to its end."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._ids = 0

    def ask(
        self,
        kind: type[Said],
        request: dict[str, Any],
        *,
        blobs: Sequence[bytes] = (),
        timeout_s: float,
        most_bytes: int = 0,
    ) -> tuple[Said, list[memoryview]]:
        """One question and its answer. A box that does not give it in time, in form and in measure is ended, and
        `SandboxStopped` says why. `most_bytes`: beside the words; answers of many boxes lie in the memory of one grader."""
        self._ids += 1
        try:
            self._child.send(pack({"id": self._ids, **request}, blobs))
            header, found = unpack(self._child.receive(timeout_s, most_bytes=LARGEST + most_bytes))
            said = replies.understood(header, kind)
        except TimeoutError as error:
            raise self._dead(SandboxStopped("timeout", f"the call was still running after {timeout_s:g} s")) from error
        except (OSError, EOFError) as error:
            raise self._dead(self._ended()) from error
        except (BadParcel, msgspec.ValidationError) as error:
            raise self._dead(SandboxStopped("protocol", f"the worker's answer is none: {error}")) from error
        if said.id != self._ids:
            raise self._dead(SandboxStopped("protocol", "the worker answered a question that was not asked"))
        return said, found

    def close(self) -> None:
        """Ends the process and waits until it is dead, with all that it started."""
        self._child.kill()
        with suppress(SandboxError):  # what ran in it may have seen to it that nobody can tell how it ended
            self._child.outcome()

    def _ended(self) -> SandboxStopped:
        """Why a worker hung up; one that did so and goes on is ended, or nobody would ever wait long enough."""
        if not self._child.ends(END_S):
            self._child.kill()
        try:
            reason = self._child.outcome().reason
        except SandboxError:
            reason = None
        if reason is None:
            return SandboxStopped("exit", "the worker's process ended in the middle of the call")
        return SandboxStopped(reason, f"the worker was stopped at its limit: {reason}")

    def _dead(self, stopped: SandboxStopped) -> SandboxStopped:
        self.close()
        return stopped
