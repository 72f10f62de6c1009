"""No input from a worker or a model ends an episode as `error`: a trainer leaves those out, so a losing agent would void just
the episodes that it loses. Every frame, field and type of reply is made up here, by chance and by malice."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.leakage_modeling.grading import episodes
from grader.leakage_modeling.grading.episodes import Job, Stage
from grader.leakage_modeling.grading.folder import Run, RunFolder
from grader.leakage_modeling.grading.regrade import regrade
from profiler.core.errors import CallError
from profiler.core.nouns import Reply
from profiler.engine.calls.asker import Answered
from profiler.provider.failures import bad_reply
from profiler.provider.messages import NotAMessage, reply_of
from profiler.provider.redact import Redactor
from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.parcel import pack, unpack
from task_kit.leakage_modeling.worker.worker import Workers
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.sandbox.spec import SandboxError

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
BY_VALUE = {**BY_NAME, "input": {"pipeline": "pipeline", "probabilities": [0.5] * 20}}


# --- a box that says anything --------------------------------------------------------------------------------------------


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


@pytest.fixture(autouse=True)
def one_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "world_of", partial(episodes.world_of, 5))
    kept = episodes.world_of(SMALL)
    monkeypatch.setattr(episodes, "world_of", lambda seed, settings: kept)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(10**9))


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


def test_without_any_lie_the_episode_fails_by_its_score(tmp_path: Path, numbers: Iterator[int]) -> None:
    assert run(tmp_path, numbers, HONEST, *PLAYS).reason == "score"


KINDS = ("run", "value", "pack", "fit", "predict")
RAW = st.binary(max_size=60) | st.sampled_from(
    [
        b"",
        b"\xff\xff\xff\xff",
        (2).to_bytes(4, "big") + b"{}",
        (9).to_bytes(4, "big") + b'"\xed\xa0\x80"',
        (4000).to_bytes(4, "big") + b"[" * 4000,
        (5000).to_bytes(4, "big") + b'{"id": ' + b"9" * 4992 + b"}",
    ]
)


@FUZZ
@given(kind=st.sampled_from(KINDS), raw=RAW, blobs=st.lists(st.binary(max_size=20), max_size=3))
def test_no_bytes_of_a_worker_are_an_error(
    tmp_path: Path, numbers: Iterator[int], kind: str, raw: bytes, blobs: list[bytes]
) -> None:
    assert run(tmp_path, numbers, Nursery(kind, lambda *_: raw + b"".join(blobs), None), *PLAYS).status == "fail"


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    field=st.sampled_from(["id", "stdout", "cut", "error", "shape", "fault", "blobs", "\ud800"]),
    value=VALUES,
    left_out=st.none() | st.sampled_from(["id", "stdout", "cut", "error", "shape", "fault", "blobs"]),
    blobs=st.none() | st.lists(st.binary(max_size=16), max_size=2),
)
def test_no_field_of_a_worker_is_an_error(
    tmp_path: Path,
    numbers: Iterator[int],
    kind: str,
    field: str,
    value: Any,
    left_out: str | None,
    blobs: list[bytes] | None,
) -> None:
    """One field after the other holds something else, or there is one more or less, and the blobs are others."""

    def lie(said: dict[str, Any], found: list[bytes]) -> bytes:
        given_ = found if blobs is None else blobs
        changed = {"blobs": [len(blob) for blob in given_], **said, field: value}
        changed.pop(left_out or "", None)
        head = json.dumps(changed).encode()
        return len(head).to_bytes(4, "big") + head + b"".join(given_)

    run(tmp_path, numbers, Nursery(kind, lie, None), *PLAYS)


@FUZZ
@given(shape=st.lists(st.integers(-(10**30), 10**30) | st.sampled_from([0, 20, 10**30]), max_size=9))
def test_no_shape_of_a_value_is_an_error(tmp_path: Path, numbers: Iterator[int], shape: list[int]) -> None:
    def lie(said: dict[str, Any], found: list[bytes]) -> bytes:
        return pack({**said, "shape": shape}, [b"" if 0 in shape else found[0]])

    run(tmp_path, numbers, Nursery("value", lie, None), *PLAYS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault", [EOFError("gone"), TimeoutError("silent"), ConnectionResetError("gone"), OSError("?")]
)
def test_no_end_of_a_worker_is_an_error(tmp_path: Path, numbers: Iterator[int], kind: str, fault: Exception) -> None:
    for end in (None, "memory", "disk", SandboxError("the report was lost")):
        assert run(tmp_path, numbers, Nursery(kind, lambda *_: fault, end), *PLAYS).status == "fail", end


@FUZZ
@given(
    kind=st.sampled_from(KINDS[3:]),
    fault=st.fixed_dictionaries({"kind": st.sampled_from(["slept", "computed", "contract"]) | TEXTS, "said": TEXTS}),
)
def test_no_fault_that_a_pipeline_makes_up_is_an_error(
    tmp_path: Path, numbers: Iterator[int], kind: str, fault: dict[str, str]
) -> None:
    def lie(said: dict[str, Any], found: list[bytes]) -> bytes:
        return pack({**said, "fault": fault})

    assert run(tmp_path, numbers, Nursery(kind, lie, None), *PLAYS).status == "fail"


# --- a model that says anything ------------------------------------------------------------------------------------------

BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking"]) | TEXTS},
    optional={
        "id": VALUES,
        "name": st.sampled_from(["python_expression", "submit_answer"]) | VALUES,
        "input": VALUES
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("expression", "pipeline", "probabilities", "y_pred_proba"),
                VALUES | st.sampled_from(["p", "pipeline", "[1e999]"]),
            ),
        ),
        "text": VALUES,
        "thinking": VALUES,
        "signature": VALUES,
        "data": VALUES,
    },
)
STOPS = st.sampled_from(
    ["end_turn", "tool_use", "max_tokens", "refusal", "pause_turn", "model_context_window_exceeded", "\ud800", None]
)
USAGES = st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]), VALUES)


@FUZZ
@given(blocks=st.lists(BLOCKS, max_size=5), stop_reason=STOPS, usage=USAGES, text=TEXTS)
def test_no_reply_of_a_model_is_an_error(
    tmp_path: Path, numbers: Iterator[int], blocks: list[Any], stop_reason: Any, usage: Any, text: str
) -> None:
    run(tmp_path, numbers, HONEST, says(*blocks, stop_reason=stop_reason, usage=usage, text=text), *PLAYS)
    run(tmp_path, numbers, HONEST, Reply(completion=text, stop_reason=stop_reason, model=text, usage=usage))


@pytest.mark.parametrize(
    "given_",
    [
        rb'{"expression": "\ud800"}',
        rb'{"\udfff": 1}',
        rb'{"probabilities": [1e999], "pipeline": "pipeline"}',
        b'{"probabilities": [' + b"9" * 400 + b'], "pipeline": "pipeline"}',
        b'{"x": ' + b"[" * 1200 + b"]" * 1200 + b"}",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["half a character", "half a key", "beyond all numbers", "a long number", "deep", "deeper"],
)
def test_no_bytes_that_a_model_can_have_written_are_an_error(
    tmp_path: Path, numbers: Iterator[int], given_: bytes
) -> None:
    """As they come over the wire, through the client's own reader."""
    body = (
        b'{"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "usage": {}, '
        b'"content": [{"type": "tool_use", "id": "t", "name": "submit_answer", "input": ' + given_ + b"}]}"
    )
    try:
        said: Reply | CallError = reply_of(body, {})
    except NotAMessage as problem:
        said = bad_reply(problem, {}, body, redact=Redactor())

    run(tmp_path, numbers, HONEST, PLAYS[0], said, *PLAYS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            CallError("invalid_request", "prompt is too long: 210000 tokens > 200000 maximum", status=400),
            "context_full",
        ),
        (
            CallError("invalid_request", "messages.2.content.0.tool_use.name: String should match", status=400),
            "bad_output",
        ),
        (CallError("request_too_large", "Request exceeds the maximum size", status=413), "context_full"),
        (CallError("nested_too_deep", "found 9000 bytes", status=200), "bad_output"),
    ],
)
def test_a_conversation_that_the_model_filled_or_broke_is_its_own_failure(
    tmp_path: Path, numbers: Iterator[int], error: CallError, reason: str
) -> None:
    result = run(tmp_path, numbers, HONEST, PLAYS[0], error)

    assert (result.status, result.reason, result.steps) == ("fail", reason, 1)
    folder = max(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert [one.differs for one in regrade(RunFolder(folder))] == [None]


def test_a_box_that_cannot_be_started_is_an_error_for_nothing_of_the_agents_ran_in_it(
    tmp_path: Path, numbers: Iterator[int]
) -> None:
    nursery = Nursery("session", lambda *_: TimeoutError("silent"), None)

    with pytest.raises(AssertionError, match="sandbox"):
        run(tmp_path, numbers, nursery, *PLAYS)
