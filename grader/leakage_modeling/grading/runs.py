"""Graded runs: plays many episodes of local policies or of agents, into a folder from which each can be regraded.

What ends a run early (a provider that refuses, a cap) is reported beside the results that are there.
"""

from __future__ import annotations

import platform
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import pandas as pd

from grader.leakage_modeling.grading.episodes import ORACLE, Job, Stage, world_of
from grader.leakage_modeling.grading.folder import EpisodeResult, Mode, Run, RunFolder
from profiler.core.errors import BudgetReached, ProviderFailed
from profiler.engine.calls.asker import Asker
from profiler.engine.limits.rate_gate import RateGate
from profiler.manifest.settings import Experiment, Retry
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from profiler.money.prices import RateCard, Rates, Tariff
from profiler.provider.open import open_client
from profiler.storage.folder_lock import locked
from task_kit.leakage_modeling.agents import scripted
from task_kit.leakage_modeling.agents.policies import CAREFUL, LEAKS, POLICIES
from task_kit.leakage_modeling.worker.limits import CallLimits, cores
from task_kit.leakage_modeling.worker.worker import Workers
from task_kit.leakage_modeling.worlds.dictionary import prompt_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from profiler.core.nouns import Reply, Request
    from profiler.provider.client import Client
    from task_kit.leakage_modeling.agents.scripted import Script
    from task_kit.leakage_modeling.worker.box import Nursery
    from task_kit.leakage_modeling.worlds.settings import Settings
    from task_kit.leakage_modeling.worlds.world import World

Ends = TypeVar("Ends", ProviderFailed, BudgetReached)

FREE = Tariff(base=Rates(input=0, output=0))
NO_PRICE = RateCard(model="scripts", priced_as="scripts", source="no model is asked", day=None, standard=FREE)
LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    `live`: agents are a model, else scripts. A `seed` of None draws one. `only` are the local policies that play (None:
    all). `repeats` is the number of episodes of each agent in a world.
    """

    mode: Mode
    settings: Settings
    live: bool = False
    seed: str | None = None
    max_cost_usd: float | None = None
    variants: tuple[scripted.Variant, ...] = scripted.VARIANTS
    only: frozenset[str] | None = None
    repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of a run. `stopped` says why some episodes were not played."""

    run: Run
    folder: Path
    asked: int
    results: tuple[EpisodeResult, ...]
    stopped: ProviderFailed | BudgetReached | None = None


async def play_all(
    plan: Plan,
    *,
    nursery: Nursery,
    isolation: str,
    output: Path,
    environ: Mapping[str, str],
    tell: Callable[[EpisodeResult], None],
    resume: bool = False,
) -> Report:
    """Play and grade all episodes of a plan; with `resume` only those without a verdict in the folder."""
    run, folder = run_of(plan, isolation), RunFolder(output)
    if not resume:
        folder.begin(run)
    with locked(output):
        return await _played(
            plan, run, folder, nursery=nursery, environ=environ, tell=tell, stand=folder.resume(run) if resume else {}
        )


async def _played(
    plan: Plan,
    run: Run,
    folder: RunFolder,
    *,
    nursery: Nursery,
    environ: Mapping[str, str],
    tell: Callable[[EpisodeResult], None],
    stand: Mapping[str, EpisodeResult],
) -> Report:
    """Play all episodes except those that stand."""
    all_jobs = list(jobs_of(plan, run.sealed_seed))
    jobs = [job for job in all_jobs if job.name not in stand]
    stage = stage_of(plan, folder, nursery=nursery)
    with frugal_texts():
        async with asker_of(plan, jobs, environ=environ) as asker:
            found, stopped = await _play(stage, jobs, asker=asker, tell=tell)
    found |= stand
    results = tuple(found[job.name] for job in all_jobs if job.name in found)
    folder.finish(results)
    return Report(run=run, folder=folder.path, asked=len(all_jobs), results=results, stopped=stopped)


def frugal_texts() -> AbstractContextManager[None]:
    """Where pyarrow is installed, pandas would keep texts in Arrow's memory, and each of the many small frames of an episode
    would cost a third more."""
    return pd.option_context("mode.string_storage", "python")


def stage_of(plan: Plan, folder: RunFolder, *, nursery: Nursery) -> Stage:
    settings = plan.settings
    return Stage(
        settings=settings,
        folder=folder,
        workers=Workers(nursery, limits=CallLimits(stdout_chars=settings.max_stdout_chars)),
        threads=anyio.CapacityLimiter(cores()),
        desk=anyio.CapacityLimiter(1),
        prompt=partial(prompt_text, settings=settings),
        model=model_of(plan),
        timed=plan.live,
    )


def model_of(plan: Plan) -> str:
    return plan.settings.model if plan.live else scripted.MODEL


def run_of(plan: Plan, isolation: str) -> Run:
    """What `run.json` says about the run."""
    return Run(
        mode=plan.mode,
        live=plan.live,
        model=model_of(plan),
        runs=plan.settings.num_runs,
        repeats=plan.repeats,
        sealed_seed=plan.seed or secrets.token_hex(16),
        settings=plan.settings,
        versions=_versions(),
        isolation=isolation,
        only=None if plan.only is None else tuple(sorted(plan.only)),
        variants=plan.variants,
    )


def seed_of(sealed_seed: str, index: int) -> int:
    """The seed of one world. Whoever knows one of them cannot derive another."""
    return int.from_bytes(sha256(f"leakage_modeling/{sealed_seed}/{index}".encode()).digest()[:16])


def jobs_of(plan: Plan, sealed_seed: str) -> Iterator[Job]:
    """All episodes in order: in local mode every policy in every world, else one agent a world."""
    for index in range(plan.settings.num_runs):
        seed = seed_of(sealed_seed, index)
        for agent in _agents(plan, index=index, seed=seed):
            if plan.only is None or agent in plan.only:
                for repeat in range(plan.repeats):
                    yield Job(index=index, seed=seed, agent=agent, repeat=repeat)


def _agents(plan: Plan, *, index: int, seed: int) -> list[str]:
    if plan.mode == "local":
        world = world_of(seed, plan.settings)
        return [ORACLE, *(policy.name for policy in POLICIES if policy.suits(world))]
    return ["agent" if plan.live else plan.variants[index % len(plan.variants)]]


async def _play(
    stage: Stage, jobs: list[Job], *, asker: Asker, tell: Callable[[EpisodeResult], None]
) -> tuple[dict[str, EpisodeResult], ProviderFailed | BudgetReached | None]:
    """Play as many episodes at once as the settings say."""
    rest, found = iter(jobs), dict[str, EpisodeResult]()
    stopped: ProviderFailed | BudgetReached | None = None

    async def work() -> None:
        for job in rest:
            found[job.name] = result = await stage.play(job, asker=asker)
            tell(result)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(min(stage.settings.concurrency, len(jobs))):
                group.start_soon(work)
    except* ProviderFailed as errors:
        stopped = _first(errors, ProviderFailed)
    except* BudgetReached as errors:
        stopped = _first(errors, BudgetReached)
    return found, stopped


def _first(error: BaseException, kind: type[Ends]) -> Ends:
    """The first error of a kind in nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, kind):
        raise TypeError(f"found {error!r}, expected {kind.__name__}") from error
    return error


@asynccontextmanager
async def asker_of(plan: Plan, jobs: list[Job], *, environ: Mapping[str, str]) -> AsyncIterator[Asker]:
    """Opens what asks the model; in runs without a model, scripts answer."""
    settings = plan.settings
    experiment = Experiment(
        experiment_id="leakage_modeling",
        model=settings.model,
        max_tokens=settings.max_tokens,
        dataset_path=Path(),
    )
    if not plan.live:
        yield _asks(Scripts(plan, jobs), experiment, settings=settings, budget=Budget(NO_PRICE))
        return
    card = look_up(settings.model, at=datetime.now(UTC))
    budget = Budget(card, cap_usd=plan.max_cost_usd) if card is not None else None
    async with open_client(experiment, mode="live", environ=environ) as client:
        yield _asks(client, experiment, settings=settings, gate=RateGate(), budget=budget)


def _asks(
    client: Client,
    experiment: Experiment,
    *,
    settings: Settings,
    gate: RateGate | None = None,
    budget: Budget | None = None,
) -> Asker:
    return Asker(
        client=client,
        concurrency=settings.concurrency,
        timeout_s=experiment.timeout_s,
        retry=experiment.retry if gate is not None else Retry(max_attempts=1),
        gate=gate,
        budget=budget,
    )


class Scripts:
    """A client that finds out which agent a conversation belongs to, and says its next words."""

    describes = "scripted agents, no model"

    def __init__(self, plan: Plan, jobs: list[Job]) -> None:
        self._settings = plan.settings
        self._jobs = {job.name: job for job in jobs}
        self._scripts: dict[str, Script] = {}

    async def complete(self, request: Request) -> Reply:
        name = request.dialogue.dialogue_id
        if name not in self._scripts:
            job = self._jobs[name]
            self._scripts[name] = _script(job, world_of(job.seed, self._settings))
        return scripted.reply_of(self._scripts[name], request.messages, sent=len(request.body))


def _script(job: Job, world: World) -> Script:
    for policy in POLICIES:
        if policy.name == job.agent:
            return scripted.policy(policy.code(world, luck=f"{job.seed}/{job.repeat}"))
    leaking = next((leak for leak in LEAKS if leak.suits(world)), CAREFUL)
    for variant in scripted.VARIANTS:
        if variant == job.agent:
            return scripted.agent(variant, honest=CAREFUL.code(world), leaking=leaking.code(world))
    raise LookupError(f"nobody is called {job.agent!r}")


def _versions() -> dict[str, str]:
    names = ("experiment-profiler", *LIBRARIES)
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
