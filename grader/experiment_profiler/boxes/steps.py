"""The steps of the driver in a box that calls the interface, and what a right submission must report at each.

Only the steps go into the box, as a job for the driver; the expected values stay outside.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.boxes.box import ADDRESS, KEY, Kind, Source, Step
from grader.experiment_profiler.worlds import names, replies, truth
from grader.experiment_profiler.worlds.world import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.experiment_profiler.boxes.box import Box, Run
    from grader.experiment_profiler.worlds.dialogues import Dialogue
    from grader.experiment_profiler.worlds.replies import Reply
    from grader.experiment_profiler.worlds.world import World

ASKED: Final = 5  # dialogues for each client
CONFIG: Final = (
    "experiment_id",
    "model",
    "max_tokens",
    "temperature",
    "log_schema_version",
    "output_fields",
    "metrics",
)


def job(box: Box, seed: str) -> bytes:
    """The job file: all that the driver is told."""
    told = [
        {"name": step.name, "does": step.does, "environment": dict(step.environment), **step.job}
        for step in steps(box, seed)
    ]
    return json.dumps({"steps": told}).encode()


def steps(box: Box, seed: str) -> Iterator[Step]:
    """All steps; the first run is of the world that the box is about."""
    world = box.runs[0].world
    yield Step(
        name="ExperimentConfig.from_yaml",
        does="config",
        job={"manifest": str(box.manifest(world))},
        expected=config(box, world),
    )
    yield from clients(box, world, seed)
    for run in box.runs:
        yield Step(
            name=f"ExperimentRunner.run, {run.name}",
            does="run",
            job={**run_job(box, run), **factory(run), "before": run.earlier is not None},
            expected=run.metrics,
            environment=environment(box, run),
        )
    for logs in box.logs:
        yield Step(
            name=f"ExperimentRunner.summarize, {logs.kind} logs",
            does="summarize",
            job={
                "manifest": str(box.manifest(world)),
                "responses": str(box.place(world) / world.responses_path),
                "log_dir": str(box.work / box.logs_dir(logs)),
            },
            expected=truth.metrics_of(logs),
        )


def config(box: Box, world: World) -> dict[str, Any]:
    manifest, place = world.manifest, box.place(world)
    return {
        **{name: manifest[name] for name in CONFIG},
        "temperature": float(manifest["temperature"]),
        "dataset_path": str(place / world.dataset_path),
        "responses_path": str(place / world.responses_path),
    }


def run_job(box: Box, run: Run) -> dict[str, str]:
    return {
        "manifest": str(box.manifest(run.world)),
        "responses": str(box.place(run.world) / run.world.responses_path),
        "output_dir": str(box.work / run.output),
        "run_dir": str(box.work / run.folder),
    }


def factory(run: Run) -> dict[str, Any]:
    if run.source is not Source.HANDED:
        return {}
    return {"answers": run.templates, "secret": run.secrets.handed}


def environment(box: Box, run: Run) -> dict[str, str]:
    return {KEY: box.secrets.key, ADDRESS: box.secrets.address} if run.source is Source.LIVE else {}


# --- clients ---------------------------------------------------------------------------------------------------------


def clients(box: Box, world: World, seed: str) -> Iterator[Step]:
    """Each of the three clients that a factory builds, with settings other than those of the manifest."""
    rng = generator(seed, f"clients/{box.name}")
    asked = chosen(world, seed=f"{seed}/{box.name}")
    settings = {
        "model": names.model(rng),
        "max_tokens": rng.randint(16, 99_999),
        "temperature": rng.randint(1, 199) / 100,
    }
    key = {KEY: box.secrets.key, ADDRESS: box.secrets.address}
    of_them = replace(world, dialogues=tuple(asked))
    other = replace(of_them, manifest=world.manifest | settings)
    prepared = replies.prepared(of_them, box.secrets.marks, model=str(settings["model"]))
    live = replies.live(other, box.secrets.live, key=box.secrets.key, base_url=box.secrets.address)
    job = {
        "responses": str(box.place(world) / world.responses_path),
        "settings": settings,
        "samples": [sample(dialogue) for dialogue in asked],
    }
    for name, client, expected, environment in (
        ("build_simulator with a key", "simulator", prepared, key),
        ("build_live_or_simulated without a key", "chosen", prepared, rng.choice(({}, {KEY: ""}))),
        ("build_live_or_simulated with a key", "chosen", live, key),
    ):
        yield Step(
            name=f"ClientFactory.{name}",
            does="client",
            job={**job, "client": client},
            expected=[told(expected[dialogue["dialogue_id"]], named=client != "simulator") for dialogue in asked],
            environment=environment,
        )


def questions(box: Box, seed: str) -> Iterator[replies.Question]:
    """Everything that the live clients of a box must ask: for a command that of its run, else also that of the driver."""
    key, address = box.secrets.key, box.secrets.address
    for run in box.runs:
        if run.source is Source.LIVE:
            yield from replies.questions(run.world, key=key, base_url=address)
    for step in clients(box, box.runs[0].world, seed) if box.kind is Kind.API else ():
        if step.job["client"] == "chosen" and step.environment.get(KEY):
            asked = {name: step.job["settings"][name] for name in ("model", "max_tokens", "temperature")}
            for each in step.job["samples"]:
                yield {"api_key": key, "base_url": address, **asked, "system": each["system"], "user": each["user"]}


def chosen(world: World, *, seed: str) -> list[Dialogue]:
    """Some dialogues that have a prepared answer, and one that has none, if there is one."""
    rng = generator(seed, "asked")
    answered = [each for each in world.dialogues if each["dialogue_id"] in world.answers]
    others = [each for each in world.dialogues if each["dialogue_id"] not in world.answers]
    return [*rng.sample(answered, min(ASKED, len(answered))), *others[:1]]


def sample(dialogue: Dialogue) -> dict[str, Any]:
    return {key: dialogue[key] for key in ("dialogue_id", "system", "user", "required_facts")}


def told(reply: Reply | None, *, named: bool) -> Any:
    """The answer as the driver reports it. `named`: the model is known, which it is not for the simulator by itself."""
    if reply is None:
        return "no answer"
    return {name: getattr(reply, name) for name in reply.__slots__ if name != "model" or named}
