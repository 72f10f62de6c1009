"""One process in a box, from its first question to its end.

What it says is checked. Whatever it does to itself is its own fault.
"""

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

END_S = 5.0  # for a process that closed its connection to end by itself, which shows why; then it is killed


class End(Protocol):
    """How a process in a box ended; `reason` names the limit that it exceeded."""

    @property
    def reason(self) -> Reason | None: ...


class Child(Protocol):
    """A process in a box. If it ends or sends nonsense there is an EOFError, if it is silent a TimeoutError."""

    def send(self, message: bytes) -> None: ...
    def receive(self, timeout_s: float, *, most_bytes: int) -> bytes: ...
    def ends(self, timeout_s: float) -> bool: ...
    def kill(self) -> None: ...
    def outcome(self) -> End: ...


class Nursery(Protocol):
    """Where boxed processes come from; they start warm."""

    def spawn(self, *, limits: Limits | None = None) -> Child: ...


class Box:
    """One process in a box, asked one question at a time."""

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
        """Ask a question and return the answer.

        A box that does not answer in time, in the right form and within `most_bytes` (besides the words) is killed, and
        `SandboxStopped` says why. Answers of many boxes share the memory of one grader, hence the limit.
        """
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
        """Kill the process and everything it started, and wait until all are dead."""
        self._child.kill()
        with suppress(SandboxError):  # the code inside may have prevented that anybody can tell how it ended
            self._child.outcome()

    def _ended(self) -> SandboxStopped:
        """Why the worker closed its connection. If it goes on running it is killed."""
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
