"""A provider that keeps the bill, and runs that pay it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from profiler.core.errors import CallError
from profiler.core.nouns import Reply
from profiler.engine.options import Options
from profiler.manifest.settings import Experiment, Retry
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from profiler.money.prices import cost
from profiler.provider.requests import Planner, params_of
from tests.profiler.building import dialogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Request


CARD = look_up("claude-haiku-4-5", at=datetime.now(UTC))


assert CARD is not None


HAIKU = CARD


WORST = Budget(HAIKU).worst(
    Planner(
        params_of(Experiment(experiment_id="x", model="claude-haiku-4-5", max_tokens=64, dataset_path=Path("d")))
    ).request(10, dialogue(10))
)  # of the longest body there is: a two-digit question


SHARE = 5  # replies cost a fifth of the worst case or so


class Crash(BaseException):
    """What ends a run: an `Exception` of a client would only be the error of its dialogue."""


class Provider:
    """Answers out of order, keeps the bill, and does to some calls what it is told to."""

    def __init__(self, trouble: Callable[[Request], CallError | BaseException | None] = lambda _: None) -> None:
        self.trouble = trouble
        self.calls: Counter[str] = Counter()
        self.billed = 0

    async def complete(self, request: Request) -> Reply:
        self.calls[request.dialogue.dialogue_id] += 1
        for _ in range(request.index % 4):
            await checkpoint()
        usage = {"input_tokens": len(request.body) // SHARE, "output_tokens": 64 // SHARE}
        trouble = self.trouble(request)
        if not (isinstance(trouble, CallError) and trouble.status):
            self.billed += cost(HAIKU, usage) or 0
        if trouble is not None:
            raise trouble
        return Reply(completion="yes", stop_reason="end_turn", model="claude-haiku-4-5", usage=usage)


def experiment(folder: Path, *, count: int = 60, **settings: Any) -> Experiment:
    path = folder / "dialogues.jsonl"
    if not path.exists():
        rows = [{"dialogue_id": f"d{index}", "user": f"question {index}"} for index in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual = {"experiment_id": "paid", "model": "claude-haiku-4-5", "max_tokens": 64, "retry": Retry(max_attempts=1)}
    return Experiment(**{**usual, "dataset_path": path, **settings})


def options(folder: Path, **others: Any) -> Options:
    return Options(**{"output_dir": folder / "runs", "mode": "live", "fsync": "off", **others})


def rows(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "runs" / "paid" / "responses.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def lost(*dialogues: str) -> Callable[[Request], CallError | None]:
    reset = CallError("connection", "reset", retryable=True)
    return lambda asked: reset if asked.dialogue.dialogue_id in dialogues else None
