"""The tasks for a training loop.

    from grader import tasks

    async with tasks.load("leakage_modeling", difficulty=1) as task:
        results = await task.group(policy, seed=7, size=8)
        rewards = [result.reward for result in results if result.reward_valid]

A policy is called with the tools and with what it has observed since its last call, and returns the tool calls that it
makes. Whoever wants to hold the loop takes `task.episode()` with its `reset`, `step` and `grade`; whoever has a client
of the engine instead of a policy takes `task.play_client`. Any number of episodes may be under way at once; they use no
more compute than there are cores.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from grader.leakage_modeling.grading.seeds import secret_in, secret_of_installation
from grader.training.client import play_client
from grader.training.episode import Episode, Observation, Result, Tool, ToolCall
from grader.training.modelling import Modelling
from grader.training.profiling import Profiling
from profiler.core.errors import UsageError
from task_kit.leakage_modeling.worlds.settings import Settings, override
from task_kit.sandbox import Level

if TYPE_CHECKING:
    from types import TracebackType

    from profiler.provider.client import Client

__all__ = ["Episode", "Observation", "Policy", "Result", "Task", "Tool", "ToolCall", "load"]

NAMES = ("leakage_modeling", "experiment_profiler")
CLOSING_S = 60.0
Policy = Callable[[Sequence[Observation], Sequence[Tool]], Awaitable[Sequence[ToolCall]]]


def load(
    name: str,
    *,
    shaped: bool = False,
    seed_secret: Path | None = None,
    require_isolation: str | None = None,
    **settings: Any,
) -> Task:
    """A task, to be opened with `async with`.

    `settings` are those of the task: for leakage_modeling what `configs/leakage_modeling.yaml` lists (difficulty,
    family, …), for experiment_profiler `max_steps`. `shaped` gives a part of the reward to those who fail by the score
    alone, never to those who leak. `seed_secret` is what seeds are mixed with: a file that machines may share, else one
    of this installation.
    """
    secret = secret_of_installation(os.environ) if seed_secret is None else secret_in(seed_secret)
    level = None if require_isolation is None else Level.parse(require_isolation)
    match name:
        case "leakage_modeling":
            return Task(Modelling(override(Settings(), **settings), secret=secret, shaped=shaped, level=level))
        case "experiment_profiler":
            return Task(Profiling(secret=secret, shaped=shaped, level=level, **settings))
        case _:
            raise UsageError(f"found no task {name!r}", hint=f"there are {', '.join(NAMES)}")


class Task:
    """One task, open for any number of episodes."""

    def __init__(self, kind: Modelling | Profiling) -> None:
        self._kind = kind

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._kind.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._kind.close)

    def episode(self) -> Episode:
        return self._kind.episode()

    async def play(self, policy: Policy, *, seed: str | int) -> Result:
        """Play one episode with a policy, from its prompt to its verdict."""
        episode = self.episode()
        try:
            first, tools = await episode.reset(seed)
            said: Sequence[Observation] = [first]
            while not episode.done:
                said = await episode.step(await policy(said, tools))
            return await episode.grade()
        finally:
            with anyio.move_on_after(CLOSING_S, shield=True):
                await episode.close()

    async def play_client(self, client: Client, *, seed: str | int, model: str) -> Result:
        """Play one episode with a model behind a client (see `profiler.open_client`), with the engine's limits and
        retries."""
        return await play_client(
            client, self.episode(), task=self._kind.name, seed=seed, rules=self._kind.rules(model=model)
        )

    async def group(self, policy: Callable[[], Policy], *, seed: str | int, size: int) -> list[Result]:
        """Several attempts at one world at once, each by a new policy that `policy` makes."""
        results: dict[int, Result] = {}

        async def attempt(place: int) -> None:
            results[place] = await self.play(policy(), seed=seed)

        async with anyio.create_task_group() as attempts:
            for place in range(size):
                attempts.start_soon(attempt, place)
        return [results[place] for place in range(size)]
