"""The transcript of an episode, one line a step, in the shape of the Agent Trajectory Interchange Format (ATIF 1.4).

The file can be read while it grows: a head, the steps, and at last the result. `trajectory` makes the one document that
readers of ATIF expect. Only live runs write times, so transcripts of equal mock runs are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from profiler import __version__
from profiler.core.json import dump_line, encode, loads

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

SCHEMA = "ATIF-v1.4"
AGENT = "leakage_modeling"


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]


class ObservationResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    source_call_id: str
    content: str


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    results: tuple[ObservationResult, ...]


class Metrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cost_usd: float | None = None
    extra: dict[str, Any] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    step_id: int
    source: Literal["system", "user", "agent"]
    message: str
    timestamp: str | None = None
    model_name: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    observation: Observation | None = None
    metrics: Metrics | None = None
    extra: dict[str, Any] = {}


class Transcript:
    """Writes the file of an episode, a line at a time, without a buffer: what was written stays."""

    def __init__(self, path: Path, *, session_id: str, model: str) -> None:
        agent = {"name": AGENT, "version": __version__, "model_name": model}
        self._file = path.open("wb", buffering=0)
        self._file.write(dump_line({"schema_version": SCHEMA, "session_id": session_id, "agent": agent}))
        self._steps = 0

    def next_id(self) -> int:
        self._steps += 1
        return self._steps

    def add(self, step: Step) -> None:
        self._file.write(encode(step) + b"\n")

    def end(self, result: dict[str, Any]) -> None:
        self._file.write(dump_line({"result": result}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript that was read back. `result` is None if the episode was cut off."""

    head: dict[str, Any]
    steps: tuple[Step, ...]
    result: dict[str, Any] | None

    def trajectory(self) -> dict[str, Any]:
        """The episode as one ATIF document."""
        steps: list[dict[str, Any]] = msgspec.to_builtins(self.steps)
        return {**self.head, "steps": steps, "final_metrics": self.totals(), "extra": {"result": self.result}}

    def totals(self) -> dict[str, Any]:
        metrics = [step.metrics for step in self.steps if step.metrics is not None]
        costs = [one.cost_usd for one in metrics]
        known = [cost for cost in costs if cost is not None]
        return {
            "total_prompt_tokens": sum(one.prompt_tokens for one in metrics),
            "total_completion_tokens": sum(one.completion_tokens for one in metrics),
            "total_cached_tokens": sum(one.cached_tokens for one in metrics),
            "total_cost_usd": sum(known) if len(known) == len(costs) else None,
            "total_steps": len(self.steps),
        }


_step = msgspec.json.Decoder(Step).decode


def read(path: Path) -> Story:
    """Read a transcript as far as it goes. An incomplete last line is left out."""
    head, *rest = path.read_bytes().split(b"\n")[:-1]
    result = None
    if rest and rest[-1].startswith(b'{"result":'):
        result = loads(rest.pop())["result"]
    return Story(head=loads(head), steps=tuple(map(_step, rest)), result=result)
