"""The worlds in which a submission is tried: the project's sample, and fresh ones drawn from a secret seed.

A world has a manifest, a dataset and prepared answers, as values and as files. The same seed gives the same worlds.
"""

from __future__ import annotations

import json
import math
import posixpath
from dataclasses import dataclass
from importlib import resources
from random import Random
from typing import TYPE_CHECKING, Any, Final

import yaml

from grader.experiment_profiler.worlds import dialogues, edges, manifests, names, prose

if TYPE_CHECKING:
    from grader.experiment_profiler.worlds.dialogues import Dialogue, Drawn

SAMPLE: Final = "sample"
PROFILES: Final = ("crowd", "long", "odd")  # one for each of the first three worlds
CROWD: Final = (240, 600)
SOME: Final = (len(dialogues.ALWAYS) + 16, len(dialogues.ALWAYS) + 30)
MEANS_APART: Final = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a submission is given, and the truth about it. `files` are relative to a folder of its own."""

    name: str
    manifest: dict[str, Any]
    dialogues: tuple[Dialogue, ...]
    answers: dict[str, dict[str, Any]]
    manifest_path: str
    files: dict[str, bytes]
    hash_seed: int = 0

    @property
    def experiment_id(self) -> str:
        return str(self.manifest["experiment_id"])

    @property
    def dataset_path(self) -> str:
        return self._resolved(self.manifest["dataset_path"])

    @property
    def responses_path(self) -> str:
        return self._resolved(self.manifest["mock"]["responses_path"])

    def _resolved(self, relative: str) -> str:
        """A path of the manifest, relative to the folder of the world."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.manifest_path), relative))


def generator(seed: str, purpose: str) -> Random:
    """A random generator for one purpose, so that a change in one part of the grader does not move the others."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 (the seed is secret and drawn well; what follows must be repeatable)


def draw(seed: str, *, count: int) -> list[World]:
    """The sample, then `count` fresh worlds. `plan` decides in which order they are tried."""
    return [sample(), *(fresh(seed, number) for number in range(1, count + 1))]


def sample() -> World:
    folder = resources.files("profiler.cli") / "sample"
    paths = ("configs/sample_experiment.yaml", "data/dialogues.json", "data/mock_responses.json")
    files = {path: folder.joinpath(*path.split("/")).read_bytes() for path in paths}
    manifest, dataset, answers = (files[path] for path in paths)
    return World(
        name=SAMPLE,
        manifest=yaml.safe_load(manifest),
        dialogues=tuple(json.loads(dataset)),
        answers=json.loads(answers),
        manifest_path=paths[0],
        files=files,
    )


def fresh(seed: str, number: int) -> World:
    rng = generator(seed, f"world/{number}")
    profile = profile_of(seed, number)
    drawn = _conversations(rng, profile)
    while not _telling(drawn):
        drawn = _conversations(rng, profile)
    return _world(rng, f"world-{number}", drawn, profile=profile)


def edge(seed: str, name: str) -> World:
    """One of the small worlds."""
    rng = generator(seed, f"edge/{name}")
    return _world(rng, name, edges.draw(rng, name), profile="small")


def profile_of(seed: str, number: int) -> str:
    """The profile of a world. Three worlds in a row have three different ones."""
    order = list(PROFILES)
    generator(seed, "profiles").shuffle(order)
    return order[(number - 1) % len(order)]


def _world(rng: Random, name: str, drawn: list[Drawn], *, profile: str) -> World:
    manifest_path, dataset, responses = _layout(rng)
    every_field = profile in {"crowd", "small"}  # so that one world of each grading has them all
    manifest = manifests.draw(rng, profile=profile, every_field=every_field) | {
        "dataset_path": dataset,
        "mock": {"responses_path": responses},
    }
    world = World(
        name=name,
        manifest=manifest,
        dialogues=tuple(dialogue for dialogue, _ in drawn),
        answers=_answers(rng, drawn),
        manifest_path=manifest_path,
        files={},
        hash_seed=rng.randint(1, 2**31),
    )
    world.files.update(
        {
            manifest_path: manifests.text(rng, manifest),
            world.dataset_path: _json(rng, list(world.dialogues)),
            world.responses_path: _json(rng, world.answers),
        }
    )
    return world


def _conversations(rng: Random, profile: str) -> list[Drawn]:
    count = rng.randint(*(CROWD if profile == "crowd" else SOME))
    return dialogues.draw(rng, names.ids(rng, count=count), long=profile == "long")


def _telling(drawn: list[Drawn]) -> bool:
    """Whether the arithmetic and the geometric mean of coverage and compliance differ enough to be told apart."""
    pairs = [(dialogue["required_facts"], answer) for dialogue, answer in drawn if answer is not None]
    types = [dialogues.resolved_type(answer["metadata"]["type"], answer["stop_reason"]) for _, answer in pairs]
    complied = sum(kind != "refusal" for kind in types) / len(pairs)
    covered = sum(_share(facts, answer["completion"].casefold()) for facts, answer in pairs) / len(pairs)
    return bool((covered + complied) / 2 - math.sqrt(covered * complied) > MEANS_APART)


def _share(facts: list[str], folded: str) -> float:
    return sum(fact.casefold() in folded for fact in facts) / len(facts) if facts else 1.0


def _answers(rng: Random, drawn: list[Drawn]) -> dict[str, dict[str, Any]]:
    """The prepared answers in another order, and some for dialogues that nobody asks for."""
    answers = {dialogue["dialogue_id"]: answer for dialogue, answer in drawn if answer is not None}
    nobodys = [dialogues.ALWAYS["plain"](rng, f"{prose.word(rng)}-{number}") for number in range(rng.randint(1, 3))]
    answers |= {dialogue["dialogue_id"]: answer for dialogue, answer in nobodys if answer is not None}
    order = rng.sample(list(answers), len(answers))
    return {name: answers[name] for name in order}


def _layout(rng: Random) -> tuple[str, str, str]:
    """The path of the manifest, and the two paths in it, relative to it."""
    manifest, dataset, responses = (names.file_name(rng) for _ in range(3))
    folder = prose.word(rng, length=4)
    return rng.choice(
        (
            (f"{manifest}.yaml", f"{dataset}.json", f"{folder}/{responses}.json"),
            (f"{folder}/{manifest}.yaml", f"../{dataset}.json", f"./{responses}.json"),
            (f"{folder}/in/{manifest}.yml", f"../../{dataset}/d.json", f"../{responses}/r.json"),
        )
    )


def _json(rng: Random, value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1, 2)))
    return text.encode()
