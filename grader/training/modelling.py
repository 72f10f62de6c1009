"""Episodes of leakage_modeling for training loops: `reset` makes a world and a worker, `step` runs tools, `grade`
judges."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from grader.leakage_modeling.grading.episodes import rules_of, world_of
from grader.leakage_modeling.grading.folder import TASK
from grader.leakage_modeling.grading.runs import seed_of
from grader.leakage_modeling.grading.seeds import sealed_seed
from grader.leakage_modeling.judging.evaluate import evaluate
from grader.training.episode import Observation, Result
from task_kit.leakage_modeling.agents.content import call_of
from task_kit.leakage_modeling.agents.loop import NUDGE
from task_kit.leakage_modeling.agents.tools import Toolbox, schemas
from task_kit.leakage_modeling.worker.limits import CallLimits, cores
from task_kit.leakage_modeling.worker.nursery import open_nursery
from task_kit.leakage_modeling.worker.plain_text import clean
from task_kit.leakage_modeling.worker.worker import Worker, Workers
from task_kit.leakage_modeling.worlds.dictionary import prompt_text
from task_kit.sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grader.leakage_modeling.judging.verdict import Verdict
    from grader.training.episode import Tool, ToolCall
    from task_kit.leakage_modeling.agents.loop import Rules
    from task_kit.leakage_modeling.worlds.settings import Settings
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Level, Zygote

CLOSING_S = 60.0
MOST_SHAPED = 0.5  # of the reward, for a policy that fails by the score alone
SCORED = frozenset({"score", "calibration"})


class Modelling:
    """What all episodes of a training loop share: the nursery that workers come from, and the cores."""

    name = TASK

    def __init__(self, settings: Settings, *, secret: bytes, shaped: bool, level: Level | None) -> None:
        self.settings = settings
        self.shaped = shaped
        self.secret = secret
        self._level = level
        self._nursery: Zygote | None = None
        self.threads = anyio.CapacityLimiter(cores())

    def open(self) -> None:
        self._nursery = open_nursery(level=self._level)

    def close(self) -> None:
        if self._nursery is not None:
            self._nursery.close()

    def workers(self) -> Workers:
        if self._nursery is None:
            raise RuntimeError("found a task that is not open, expected `async with tasks.load(…) as task`")
        return Workers(self._nursery, limits=CallLimits(stdout_chars=self.settings.max_stdout_chars))

    def episode(self) -> ModellingEpisode:
        return ModellingEpisode(self)

    def rules(self, *, model: str) -> Rules:
        return rules_of(self.settings, model=model)


class ModellingEpisode:
    """An episode of this task; see `grader.training.episode.Episode`."""

    def __init__(self, task: Modelling) -> None:
        self._task = task
        self._settings = task.settings
        self._worker: Worker | None = None
        self._steps = 0
        self._result: Result | None = None

    @property
    def done(self) -> bool:
        return self._result is not None or self._tools.submission is not None or self._steps >= self._settings.max_steps

    async def reset(self, seed: str | int) -> tuple[Observation, list[Tool]]:
        await self.close()
        sealed = sealed_seed(str(seed), secret=self._task.secret)
        self._seed, self._steps, self._result = seed_of(sealed, 0), 0, None
        self._ids: set[str] = set()
        self._world: World = await self._thread(world_of, self._seed, self._settings)
        self._worker = await self._thread(self._task.workers().start, self._world)
        self._tools = Toolbox(self._worker, rows=len(self._world.test))
        tools = schemas(stdout_chars=self._settings.max_stdout_chars)
        return Observation(text=prompt_text(self._world, self._settings)), tools

    async def step(self, calls: Sequence[ToolCall]) -> list[Observation]:
        if self.done:
            return [Observation(text="The episode is over.", is_error=True)]
        self._steps += 1
        made = [call_of(call.name, call.arguments, id=call.id, taken=self._ids) for call in calls]
        most = self._task.rules(model="").step_bytes
        results = await self._thread(lambda: self._tools.step(made, most_bytes=most))
        said = [
            Observation(text=result.text, call_id=call.id or None, is_error=result.is_error)
            for call, result in zip(calls, results, strict=True)
        ]
        return said or [Observation(text=NUDGE)]

    async def grade(self) -> Result:
        if self._result is None:
            try:
                self._result = await self._thread(self._judged)
            except SandboxError as error:
                self._result = self._error("sandbox", error)
            except Exception as error:  # noqa: BLE001 (a bug of the grader is no verdict, and must not end a training loop)
                self._result = self._error("grader", error)
            finally:
                with anyio.move_on_after(CLOSING_S, shield=True):
                    await self.close()
        return self._result

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with anyio.CancelScope(shield=True):
                await self._thread(worker.close)

    def _judged(self) -> Result:
        submission, worker = self._tools.submission, self._worker
        if submission is None or worker is None:
            sentence = f"nothing was submitted in {self._steps} steps"
            return self._told("fail", 0.0, ("no_submission",), sentence)
        verdict = evaluate(self._world, submission, worker, settings=self._settings, question_seed=self._seed)
        reasons = tuple(check.reason or check.name for check in verdict.checks if not check.passed)
        reward = shaped(verdict, self._settings) if self._task.shaped else verdict.reward
        return self._told(verdict.status, reward, reasons, verdict.sentence, verdict.scores)

    def _told(
        self, status: Any, reward: float, reasons: tuple[str, ...], sentence: str, metrics: dict[str, Any] | None = None
    ) -> Result:
        return Result(
            task=TASK,
            status=status,
            reward=reward,
            reward_valid=status != "error",
            reasons=reasons,
            sentence=sentence,
            metrics=metrics or {},
            steps=self._steps,
            world=sha256(f"{self._seed:x}".encode()).hexdigest()[:16],
        )

    def _error(self, reason: str, error: Exception) -> Result:
        return self._told("error", 0.0, (reason,), clean(f"{type(error).__name__}: {error}"))

    async def _thread(self, do: Callable[..., Any], *given: Any) -> Any:
        return await anyio.to_thread.run_sync(do, *given, limiter=self._task.threads, abandon_on_cancel=True)


def shaped(verdict: Verdict, settings: Settings) -> float:
    """The shaped reward: 1 for a pass.

    For a failure by score or calibration alone, up to a half, the more the smaller the regret. Nothing for whoever uses
    what is forbidden, breaks a contract or runs into a limit.
    """
    if verdict.status == "pass":
        return 1.0
    others = {check.name for check in verdict.checks if not check.passed} - SCORED
    if others or "regret" not in verdict.scores:
        return 0.0
    beyond = max(0.0, float(verdict.scores["regret"]) - settings.regret_limit)
    return round(MOST_SHAPED * max(0.0, 1 - beyond / (1 - settings.regret_limit)), 6)
