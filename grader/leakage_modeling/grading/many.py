"""Plays the episodes of a run by many processes, here or on a cluster; nobody but this one writes into the folder of the run.

Each process plays one episode at a time in a folder of its own, and sends what it has kept. The files are those that one
process would have written. A model is not asked by many: its limits and its cap are kept by one.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from grader.leakage_modeling.grading.episodes import Job
from grader.leakage_modeling.grading.folder import ARTEFACTS, EPISODES, TRANSCRIPT, UNFINISHED, EpisodeResult, RunFolder
from grader.leakage_modeling.grading.runs import Plan, Report, asker_of, frugal_texts, jobs_of, run_of, stage_of
from grader.workers.calls import call_all
from grader.workers.crew import Broken
from grader.workers.ending import ENDS
from profiler.core.errors import UsageError
from profiler.storage.folder_lock import locked
from task_kit.leakage_modeling.worker.nursery import open_nursery
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.sandbox import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from grader.workers.calls import Hire
    from task_kit.sandbox.zygote import Zygote

PLAY = f"{__name__}:played"
KEPT = (TRANSCRIPT, ARTEFACTS, "traceback.txt")


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An episode to play, and at which level of isolation. The seed is a number that is too large for most formats."""

    settings: Settings
    isolation: str
    index: int
    seed: str
    agent: str
    repeat: int


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """Its result, and the other files of its folder."""

    result: EpisodeResult
    files: dict[str, bytes]


# --- the process that hands out ---------------------------------------------------------------------------------------


def play_many(
    plan: Plan,
    *,
    isolation: str,
    output: Path,
    tell: Callable[[EpisodeResult], None],
    hire: Hire,
    processes: int,
    resume: bool = False,
) -> Report:
    """As `play_all`, by a number of processes."""
    if plan.live:
        raise UsageError(
            "--jobs is for scripted agents and local policies, and a model is asked here", hint="leave it out"
        )
    run, folder = run_of(plan, isolation), RunFolder(output)
    if not resume:
        folder.begin(run)
    with locked(output):
        found = dict(folder.resume(run)) if resume else {}
        all_jobs = list(jobs_of(plan, run.sealed_seed))
        owed = [job for job in all_jobs if job.name not in found]

        def keep(number: int, said: bytes | Broken) -> None:
            result = _kept(folder, owed[number], said)
            found[result.episode] = result
            tell(result)

        if owed:
            given = _given(folder, owed, settings=plan.settings, isolation=isolation)
            call_all(PLAY, given, heard=keep, hire=hire, size=min(processes, len(owed)))
        results = tuple(found[job.name] for job in all_jobs)
        folder.finish(results)
    return Report(run=run, folder=folder.path, asked=len(all_jobs), results=results)


def _given(folder: RunFolder, owed: Sequence[Job], *, settings: Settings, isolation: str) -> Iterator[bytes]:
    """Each episode says that it is unfinished from the moment at which it is handed out."""
    for job in owed:
        folder.begin_episode(job.error(UNFINISHED, "the episode was not played to its end"))
        yield msgspec.msgpack.encode(
            Sent(
                settings=settings,
                isolation=isolation,
                index=job.index,
                seed=f"{job.seed:x}",
                agent=job.agent,
                repeat=job.repeat,
            )
        )


def _kept(folder: RunFolder, job: Job, said: bytes | Broken) -> EpisodeResult:
    if isinstance(said, Broken):
        result = job.error("grader", f"no result: {said}")
    else:
        played = msgspec.msgpack.decode(said, type=Played)
        result = played.result
        for name in KEPT:
            if name in played.files:
                (folder.episode(job.name) / name).write_bytes(played.files[name])
    folder.keep(result)
    return result


# --- a process that plays ---------------------------------------------------------------------------------------------


def played(given: bytes) -> bytes:
    sent = msgspec.msgpack.decode(given, type=Sent)
    with tempfile.TemporaryDirectory(prefix="episode-") as scratch, frugal_texts():
        return anyio.run(_play, sent, _nursery(sent.isolation), Path(scratch))


async def _play(sent: Sent, nursery: Zygote, scratch: Path) -> bytes:
    plan = Plan(mode="agent", settings=sent.settings)
    job = Job(index=sent.index, seed=int(sent.seed, 16), agent=sent.agent, repeat=sent.repeat)
    folder = RunFolder(scratch)
    (scratch / EPISODES).mkdir()
    async with asker_of(plan, [job], environ={}) as asker:
        result = await stage_of(plan, folder, nursery=nursery).play(job, asker=asker)
    home = folder.episode(job.name)
    files = {name: (home / name).read_bytes() for name in KEPT if (home / name).exists()}
    return msgspec.msgpack.encode(Played(result=result, files=files))


@cache
def _nursery(isolation: str) -> Zygote:
    """One for all episodes of this process; it takes a second to open."""
    nursery = open_nursery(level=Level.parse(isolation))
    ENDS.append(nursery.close)
    return nursery
