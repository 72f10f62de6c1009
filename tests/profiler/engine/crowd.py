"""Many experiments with a dataset each, and a client that knows which of them are being answered."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from profiler.core.nouns import Reply
from profiler.engine.options import Options
from profiler.manifest.settings import Experiment, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Request
    from profiler.engine.result import Ended


COUNT = 6


def dataset(folder: Path, *, name: str = "d", count: int = COUNT) -> Path:
    path = folder / f"{name}.jsonl"
    rows = [{"dialogue_id": f"{name}{index}", "user": f"question {index}"} for index in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def experiments(folder: Path, *names: str, count: int = COUNT, **settings: Any) -> list[Experiment]:
    """Each with a dataset of its own, so that a call tells whose it is."""
    usual: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 64, "retry": Retry(max_attempts=1), **settings}
    return [
        Experiment(experiment_id=name, dataset_path=dataset(folder, name=name, count=count), **usual) for name in names
    ]


def options(folder: Path, **others: Any) -> Options:
    return Options(**{"output_dir": folder / "runs", "fsync": "off", **others})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def states(ended: list[Ended]) -> dict[str, str]:
    return {each.experiment_id: "complete" if each.result else type(each.error).__name__ for each in ended}


class Crowd:
    """Answers as soon as it may, and knows who is being answered."""

    def __init__(self, *, until: Callable[[Crowd, str], bool] = lambda _, __: True) -> None:
        self.until = until
        self.inside: Counter[str] = Counter()
        self.most = 0
        self.together: set[frozenset[str]] = set()
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Reply:
        name = request.dialogue.dialogue_id[0]
        self.asked.append(request.dialogue.dialogue_id)
        self.inside[name] += 1
        self.most = max(self.most, self.inside.total())
        self.together.add(frozenset(+self.inside))
        await checkpoint()
        while not self.until(self, request.dialogue.dialogue_id):
            await checkpoint()
        self.inside[name] -= 1
        return Reply(completion="yes", stop_reason="end_turn", model="m", usage={})
