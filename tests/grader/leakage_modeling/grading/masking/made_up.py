"""Workers and models that say whatever a test makes up, and an episode played with them."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from grader.leakage_modeling.grading.episodes import Job, Stage
from grader.leakage_modeling.grading.folder import Run, RunFolder
from profiler.core.nouns import Reply
from profiler.engine.calls.asker import Answered
from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.parcel import pack, unpack
from task_kit.leakage_modeling.worker.worker import Workers
from task_kit.leakage_modeling.worlds.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from grader.leakage_modeling.grading.folder import EpisodeResult
    from profiler.core.nouns import Request
    from task_kit.sandbox.spec import Limits


SMALL = Settings(difficulty=0, train_rows=100, test_rows=20, hidden_rows=1000, max_steps=3)


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


TEXTS = st.text(st.characters(), max_size=12) | st.sampled_from(["\ud800", "\x00\x1b[2J", "x" * 20_000, "`$.\udfff`"])


NUMBERS = st.integers() | st.sampled_from([10**30, -1, 2**53, 2**63, 2**64]) | st.floats()


VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


RUN = {"type": "tool_use", "id": "t", "name": "python_expression", "input": {"expression": "1"}}


BY_NAME = {
    "type": "tool_use",
    "id": "s",
    "name": "submit_answer",
    "input": {"pipeline": "pipeline", "probabilities": "p"},
}


def honest(asked: dict[str, Any], blobs: list[memoryview]) -> tuple[dict[str, Any], list[bytes]]:
    """What a box of good will says: half for every row."""
    match asked["do"]:
        case "session":
            return {"id": asked["id"], "ready": True}, []
        case "run":
            return {"id": asked["id"], "stdout": "1\n", "cut": 0, "error": None}, []
        case "value":
            return {"id": asked["id"], "error": None, "shape": [20]}, [np.full(20, 0.5).tobytes()]
        case "pack":
            return {"id": asked["id"], "error": None}, [b"a pipeline"]
        case "fit":
            return {"id": asked["id"], "fault": None}, [b"a fitted pipeline"]
        case _:
            return {"id": asked["id"], "fault": None}, [np.full(asked["frame"]["rows"], 0.5).tobytes()]


class Ended:
    def __init__(self, reason: Any) -> None:
        self.reason = reason


class MadeUp:
    """A process in a box that answers one kind of question in its own way. It starts well: nothing of the agent's has run
    in it by then."""

    def __init__(self, kind: str, lie: Callable[[dict[str, Any], list[bytes]], bytes | Exception], end: Any) -> None:
        self.kind, self.lie, self.end = kind, lie, end
        self.asked: dict[str, Any] = {}
        self.blobs: list[memoryview] = []

    def send(self, message: bytes) -> None:
        self.asked, self.blobs = unpack(message)

    def receive(self, timeout_s: float, *, most_bytes: int) -> bytes:
        said, found = honest(self.asked, self.blobs)
        if self.asked["do"] != self.kind:
            return pack(said, found)
        answer = self.lie(said, found)
        if isinstance(answer, Exception):
            raise answer
        if len(answer) > most_bytes:
            raise EOFError("too much")
        return answer

    def ends(self, timeout_s: float) -> bool:
        return False

    def kill(self) -> None:
        pass

    def outcome(self) -> Ended:
        if isinstance(self.end, Exception):
            raise self.end
        return Ended(self.end)


class Nursery:
    def __init__(self, kind: str, lie: Callable[[dict[str, Any], list[bytes]], bytes | Exception], end: Any) -> None:
        self.make = partial(MadeUp, kind, lie, end)

    def spawn(self, *, limits: Limits | None = None) -> MadeUp:
        return self.make()


class Model:
    """Says one reply after the other, the last one again; raises what is to be raised."""

    def __init__(self, *said: Reply | Exception) -> None:
        self.said = list(said)

    async def ask(self, request: Request) -> Answered:
        json.loads(request.body)
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, Exception):
            raise said
        return Answered(said, attempts=1, latency_s=0.1, cost=1)


def says(*blocks: Any, stop_reason: Any = "tool_use", usage: Any = None, text: str = "") -> Reply:
    return Reply(completion=text, stop_reason=stop_reason, model="m", usage=usage or {}, content=list(blocks))


PLAYS = says(RUN), says(RUN, BY_NAME)


HONEST = Nursery("nothing", pack, None)


async def verdict(folder: Path, number: int, nursery: Nursery, model: Model) -> EpisodeResult:
    """One episode, kept, read back and graded again."""
    home = RunFolder(folder / str(number))
    home.begin(
        Run(mode="agent", live=True, model="m", runs=1, sealed_seed="s", settings=SMALL, versions={}, isolation="none")
    )
    stage = Stage(
        settings=SMALL,
        folder=home,
        workers=Workers(nursery, limits=CallLimits(restarts=1)),
        threads=anyio.CapacityLimiter(2),
        desk=anyio.CapacityLimiter(1),
        prompt=lambda world: "Do it.",
        model="m",
        timed=True,
    )
    result = await stage.play(Job(index=0, seed=5, agent="agent"), asker=model)
    assert home.result("0000-agent") == result
    assert result.status != "error", (result.reason, result.sentence)
    assert result.reward_valid
    return result


def run(folder: Path, numbers: Iterator[int], nursery: Nursery, *said: Reply | Exception) -> EpisodeResult:
    return anyio.run(verdict, folder, next(numbers), nursery, Model(*said))
