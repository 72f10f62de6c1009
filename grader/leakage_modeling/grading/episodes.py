"""One episode from its seed to its verdict: a world, a worker, an agent, the judge, and what is kept.

There is an `EpisodeResult` whatever happens. What the grader, the machine or the provider breaks is an `error`, for
which no agent is blamed.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import msgspec

from grader.leakage_modeling.grading.folder import ARTEFACTS, TRANSCRIPT, UNFINISHED, EpisodeResult
from grader.leakage_modeling.grading.stored import Answered, RecordingFitter, save
from grader.leakage_modeling.judging.evaluate import evaluate
from grader.leakage_modeling.judging.oracle import Oracle
from grader.leakage_modeling.judging.verdict import Check, Verdict
from profiler.core.errors import ProfilerError
from profiler.money.prices import dollars
from task_kit.leakage_modeling.agents.loop import Ending, Episode, InThread, Rules
from task_kit.leakage_modeling.agents.tools import Toolbox
from task_kit.leakage_modeling.agents.transcript import Transcript
from task_kit.leakage_modeling.worker.plain_text import clean
from task_kit.leakage_modeling.worlds.world import World, make_world
from task_kit.sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from anyio import CapacityLimiter

    from grader.leakage_modeling.grading.folder import RunFolder
    from task_kit.leakage_modeling.agents.loop import Asks
    from task_kit.leakage_modeling.worker.fitter import Fitter, Submission
    from task_kit.leakage_modeling.worker.worker import Worker, Workers
    from task_kit.leakage_modeling.worlds.settings import Settings

ORACLE = "oracle"
WORLDS_KEPT = 64  # each is smaller than a megabyte; local policies share a world, and scripted agents look at theirs

world_of = lru_cache(WORLDS_KEPT)(make_world)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An episode to play: its world, its agent, and which repeat it is."""

    index: int
    seed: int
    agent: str
    repeat: int = 0

    @property
    def name(self) -> str:
        return f"{self.index:04d}-{self.agent}" + (f"-{self.repeat + 1}" if self.repeat else "")

    def result(self, verdict: Verdict, ending: Ending | None = None, *, restarts: int = 0) -> EpisodeResult:
        took = ending or Ending(how="submitted", steps=0)
        return EpisodeResult(
            episode=self.name,
            index=self.index,
            seed=f"{self.seed:x}",
            agent=self.agent,
            status=verdict.status,
            reason=verdict.reason,
            sentence=verdict.sentence,
            reward=verdict.reward,
            reward_valid=verdict.status != "error",
            only_score_failed=verdict.only_score_failed,
            checks=[msgspec.to_builtins(check) for check in verdict.checks],
            scores=verdict.scores,
            steps=took.steps,
            input_tokens=took.input_tokens,
            output_tokens=took.output_tokens,
            cost_usd=None if took.cost is None else dollars(took.cost),
            restarts=restarts,
        )

    def error(self, reason: str, sentence: str, ending: Ending | None = None) -> EpisodeResult:
        return self.result(Verdict(status="error", reason=reason, sentence=sentence, checks=()), ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all episodes of a run share."""

    settings: Settings
    folder: RunFolder
    workers: Workers
    threads: CapacityLimiter
    desk: CapacityLimiter  # of one: when worlds are made in turn, the first worker begins while the next world is made
    prompt: Callable[[World], str]
    model: str
    timed: bool

    async def play(self, job: Job, *, asker: Asks) -> EpisodeResult:
        """Play the whole episode, and keep and return its result. Only what ends the whole run is raised."""
        home = self.folder.begin_episode(self._undecided(job, UNFINISHED, "the episode was not played to its end"))
        begun: list[Episode] = []
        try:
            result = await (self._oracle(job, home) if job.agent == ORACLE else self._agent(job, home, asker, begun))
        except ProfilerError:
            raise
        except SandboxError as error:
            result = self._undecided(job, "sandbox", str(error), begun)
        except Exception as error:  # noqa: BLE001 (a broken episode must not take the others with it, nor count as a fail)
            result = self._undecided(job, "grader", f"{type(error).__name__}: {error}", begun)
            (home / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
        self.folder.keep(result)
        return result

    def _undecided(self, job: Job, reason: str, sentence: str, begun: Sequence[Episode] = ()) -> EpisodeResult:
        """An error result that says how far the episode came.

        Nobody knows what a model had cost until then: unknown, not 0.
        """
        result = job.error(reason, clean(sentence))
        for episode in begun:
            result = msgspec.structs.replace(
                result, steps=episode.steps, input_tokens=episode.input_tokens, output_tokens=episode.output_tokens
            )
        return msgspec.structs.replace(result, cost_usd=None) if self.timed else result

    async def _agent(self, job: Job, home: Path, asker: Asks, begun: list[Episode]) -> EpisodeResult:
        world = await self._world(job)
        worker: Worker = await self._thread(self.workers.start, world)
        try:
            return await self._with_worker(job, home, asker, begun, world=world, worker=worker)
        finally:
            with anyio.CancelScope(shield=True):
                await self._thread(worker.close)

    async def _with_worker(
        self, job: Job, home: Path, asker: Asks, begun: list[Episode], *, world: World, worker: Worker
    ) -> EpisodeResult:
        tools = Toolbox(worker, rows=len(world.test))
        with Transcript(home / TRANSCRIPT, session_id=job.name, model=self.model) as transcript:
            episode = Episode(
                name=job.name,
                rules=rules_of(self.settings, model=self.model),
                prompt=self.prompt(world),
                tools=InThread(tools, stdout_chars=self.settings.max_stdout_chars, threads=self.threads),
                transcript=transcript,
                timed=self.timed,
            )
            begun.append(episode)
            ending = await episode.play(asker)
            verdict, kept = await self._thread(self._judge, world, ending, tools.submission, worker, job.seed)
            save(home / ARTEFACTS, tools.submission, kept=kept)
            result = job.result(verdict, ending, restarts=worker.restarts)
            transcript.end(msgspec.to_builtins(result))
        return result

    async def _oracle(self, job: Job, home: Path) -> EpisodeResult:
        """The oracle: no worker and no agent, but the same judge."""
        world = await self._world(job)
        oracle = Oracle(world)
        verdict, kept = await self._thread(self._ask, world, oracle.submission, oracle, job.seed)
        save(home / ARTEFACTS, oracle.submission, kept=kept)
        return job.result(verdict)

    def _judge(
        self, world: World, ending: Ending, submission: Submission | None, worker: Worker, seed: int
    ) -> tuple[Verdict, list[Answered]]:
        if submission is None:
            return without_submission(ending), []
        return self._ask(world, submission, worker, seed)

    def _ask(self, world: World, submission: Submission, fitter: Fitter, seed: int) -> tuple[Verdict, list[Answered]]:
        recording = RecordingFitter(fitter)
        verdict = evaluate(world, submission, recording, settings=self.settings, question_seed=seed)
        return verdict, recording.kept

    async def _world(self, job: Job) -> World:
        world: World = await anyio.to_thread.run_sync(
            world_of, job.seed, self.settings, limiter=self.desk, abandon_on_cancel=True
        )
        return world

    async def _thread(self, do: Callable[..., Any], *given: Any) -> Any:
        return await anyio.to_thread.run_sync(do, *given, limiter=self.threads, abandon_on_cancel=True)


def rules_of(settings: Settings, *, model: str) -> Rules:
    return Rules(
        model=model,
        max_steps=settings.max_steps,
        max_tokens=settings.max_tokens,
        stdout_chars=settings.max_stdout_chars,
        context_tokens=settings.context_tokens,
    )


def without_submission(ending: Ending) -> Verdict:
    """An agent that submits nothing fails. If the provider did not answer, that is nobody's failure."""
    if ending.how == "provider":
        return Verdict(status="error", reason="provider", sentence=ending.said, checks=())
    sentence = f"nothing was submitted in {ending.steps} steps: {ending.said}"
    check = Check(name="format", passed=False, detail=sentence, reason=ending.how)
    return Verdict(status="fail", reason=ending.how, sentence=sentence, checks=(check,))
