"""The worlds in which a submission is tried: the sample of the project, and fresh ones drawn from a secret seed.

Comes in: a seed and a number. Goes out: worlds, each with a manifest, a dataset and prepared answers of its own, as
values and as the files that say the same. Every world can be solved: no answer lacks too many facts and every safety
prompt is refused. The same seed gives the same worlds. Knows nothing of submissions.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from random import Random
from typing import Any, Final

import yaml

from grader.experiment_profiler.worlds import prose

SAMPLE: Final = "sample"
ALWAYS: Final = ("fact_coverage", "refusal_rate", "geometric_mean")
FIELDS_ALWAYS: Final = ("dialogue_id", "completion", "type")
FIELDS_PERHAPS: Final = ("index", "stop_reason", "usage", "latency_s", "model")
SIZES: Final = (8, 26)

# Of dialogues: a safety prompt with facts that no refusal holds; facts that are answered in capitals, and not all of
# them, by what reads like a refusal; a refusal of what is no safety prompt; the usual; and one that asks for no facts.
KINDS: Final = ("safety", "cased", "declined", "facts", "plain")
# How often there are more of each: mostly refused, mixed, mostly answered.
LEANINGS: Final = ((1, 2, 6, 3, 1), (2, 2, 3, 4, 1), (1, 4, 0, 6, 1))
MEANS_APART: Final = 0.004

Dialogue = dict[str, Any]


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

    def resolved(self, relative: str) -> str:
        """A path of the manifest, relative to the folder of the world."""
        parts: list[str] = []
        for part in (PurePosixPath(self.manifest_path).parent / relative).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        return "/".join(parts)


def generator(seed: str, purpose: str) -> Random:
    """One generator for each purpose, so that a change in one part of the grader does not move the others."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 (the seed is secret and drawn well; what follows must be repeatable)


def draw(seed: str, *, count: int) -> list[World]:
    """The sample first, then `count` fresh ones; in which order they are tried is decided elsewhere."""
    return [sample(), *(fresh(seed, number) for number in range(1, count + 1))]


def sample() -> World:
    folder = resources.files("profiler.cli") / "sample"
    names = ("configs/sample_experiment.yaml", "data/dialogues.json", "data/mock_responses.json")
    files = {name: folder.joinpath(*name.split("/")).read_bytes() for name in names}
    manifest, dialogues, answers = (files[name] for name in names)
    return World(
        name=SAMPLE,
        manifest=yaml.safe_load(manifest),
        dialogues=tuple(json.loads(dialogues)),
        answers=json.loads(answers),
        manifest_path=names[0],
        files=files,
    )


def fresh(seed: str, number: int) -> World:
    rng = generator(seed, f"world/{number}")
    dialogues, answers = _conversations(rng)
    while not _telling(dialogues, answers):
        dialogues, answers = _conversations(rng)
    manifest_path, dataset, responses = _layout(rng)
    manifest = _manifest(rng, every_field=number == 1) | {
        "dataset_path": dataset,
        "mock": {"responses_path": responses},
    }
    world = World(
        name=f"world-{number}",
        manifest=_shuffled(rng, manifest),
        dialogues=tuple(dialogues),
        answers=answers,
        manifest_path=manifest_path,
        files={},
        hash_seed=rng.randint(1, 2**31),
    )
    world.files.update(
        {
            manifest_path: _yaml(rng, world.manifest),
            world.resolved(dataset): _json(rng, dialogues),
            world.resolved(responses): _json(rng, answers),
        }
    )
    return world


def _conversations(rng: Random) -> tuple[list[Dialogue], dict[str, dict[str, Any]]]:
    ids = _ids(rng, count=rng.randint(*SIZES))
    drawn = _dialogues(rng, ids)
    return [dialogue for dialogue, _ in drawn], _answers(rng, drawn)


def _telling(dialogues: list[Dialogue], answers: dict[str, dict[str, Any]]) -> bool:
    """Whether there is a coverage at all, and the arithmetic mean of it and compliance is told from the geometric one,
    which it often is not."""
    pairs = [(dialogue["required_facts"], answers[dialogue["dialogue_id"]]) for dialogue in dialogues]
    if not any(facts for facts, _ in pairs):
        return False
    complied = sum(answer["metadata"]["type"] != "refusal" for _, answer in pairs) / len(pairs)
    covered = sum(_share(facts, answer["completion"].casefold()) for facts, answer in pairs) / len(pairs)
    return bool((covered + complied) / 2 - math.sqrt(covered * complied) > MEANS_APART)


def _share(facts: list[str], folded: str) -> float:
    return sum(fact.casefold() in folded for fact in facts) / len(facts) if facts else 1.0


def _ids(rng: Random, *, count: int) -> list[str]:
    """Distinct, of many kinds, and in no order that sorting would find."""
    kinds = (
        lambda: prose.word(rng, length=8),
        lambda: f"{rng.randrange(10**6):06d}",
        lambda: f"{prose.word(rng, letters=rng.choice(prose.CASELESS), length=4)} {rng.randrange(1000)}",
        lambda: f"{prose.word(rng, length=3)}\"{prose.word(rng, length=3)}'/{rng.randrange(1000)}",
        lambda: prose.word(rng, letters=prose.CYRILLIC, length=6).title(),
    )
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn[rng.choice(kinds)()] = None
    ids = list(drawn)
    while ids == sorted(ids):
        rng.shuffle(ids)
    return ids


def _dialogues(rng: Random, ids: list[str]) -> list[tuple[Dialogue, str]]:
    """With the kind of each. Every world has one of each kind that tells a wrong metric from a right one, and two that
    ask the same, which are answered apart all the same."""
    kinds = [*KINDS, *rng.choices(KINDS, rng.choice(LEANINGS), k=len(ids) - len(KINDS))]
    rng.shuffle(kinds)
    dialogues = [(_dialogue(rng, dialogue_id, kind), kind) for dialogue_id, kind in zip(ids, kinds, strict=True)]
    (one, _), (other, _) = rng.sample(dialogues, 2)
    other.update({key: one[key] for key in ("system", "user")})
    return dialogues


def _dialogue(rng: Random, dialogue_id: str, kind: str) -> Dialogue:
    counts = {"safety": (1, 2), "cased": (3, 5), "declined": (0, 0), "facts": (1, 7), "plain": (0, 0)}
    dialogue: Dialogue = {
        "dialogue_id": dialogue_id,
        "system": prose.framed(rng, prose.filler(rng, words=rng.randint(1, 8))),
        "user": prose.framed(rng, f"{prose.filler(rng, words=rng.randint(1, 30))} {prose.nonce(rng)}?"),
        "required_facts": [prose.fact(rng, cased=kind == "cased") for _ in range(rng.randint(*counts[kind]))],
    }
    if kind == "safety":
        dialogue["expect_refusal"] = True
    if rng.random() < 0.3:
        dialogue["tags"] = [prose.word(rng)]
    return dialogue


def _answers(rng: Random, dialogues: list[tuple[Dialogue, str]]) -> dict[str, dict[str, Any]]:
    """One for each dialogue, in another order, and some for dialogues that nobody asks for."""
    answers = {dialogue["dialogue_id"]: _answer(rng, dialogue["required_facts"], kind) for dialogue, kind in dialogues}
    answers |= {f"{prose.word(rng)}-{number}": _answer(rng, [], "plain") for number in range(rng.randint(1, 3))}
    return _shuffled(rng, answers)


def _answer(rng: Random, facts: list[str], kind: str) -> dict[str, Any]:
    if kind in {"safety", "declined"}:
        return _entry(rng, prose.sentence(rng, rng.choice(prose.REFUSALS), []), refused=True)
    enough = -(-len(facts) * 2 // 3)  # two thirds, rounded up: never near the limit of 0.6
    if kind == "cased":
        chosen = rng.sample(facts, min(enough, len(facts) - 1))
        held = [fact.upper() if fact in chosen else prose.near(fact) for fact in facts]
        return _entry(rng, prose.sentence(rng, rng.choice(prose.LIKE_REFUSALS), held), refused=False)
    held = [prose.recased(rng, fact) for fact in rng.sample(facts, rng.randint(enough, len(facts)))]
    return _entry(rng, prose.sentence(rng, rng.choice(prose.ANSWERS), held), refused=False)


def _entry(rng: Random, completion: str, *, refused: bool) -> dict[str, Any]:
    return {
        "completion": completion,
        "metadata": {"type": "refusal" if refused else "answer"},
        "stop_reason": "refusal" if refused else rng.choice(("end_turn", "stop_sequence")),
        "usage": {"input_tokens": rng.randint(1, 900), "output_tokens": rng.randint(1, 900)},
    }


def _manifest(rng: Random, *, every_field: bool) -> dict[str, Any]:
    fields = [*FIELDS_ALWAYS, *(field for field in FIELDS_PERHAPS if rng.random() < 0.5 or every_field)]
    metrics = [*ALWAYS, *(["completion_rate"] if rng.random() < 0.5 else [])]
    return {
        "experiment_id": f"{prose.word(rng, length=5).title()}{rng.choice('._-')}{prose.nonce(rng)[:6]}x",
        "model": f"claude-{prose.word(rng)}-{rng.randint(2, 9)}",
        "max_tokens": rng.randint(16, 8192),
        "temperature": rng.randint(1, 99) / 100,
        "log_schema_version": rng.randint(2, 99),
        "output_fields": rng.sample(fields, len(fields)),
        "metrics": rng.sample(metrics, len(metrics)),
    }


def _layout(rng: Random) -> tuple[str, str, str]:
    """Where the manifest lies, and the two paths in it, relative to it."""
    manifest, dataset, responses = (prose.word(rng) for _ in range(3))
    folder = prose.word(rng, length=4)
    return rng.choice(
        (
            (f"{manifest}.yaml", f"{dataset}.json", f"{folder}/{responses}.json"),
            (f"{folder}/{manifest}.yaml", f"../{dataset}.json", f"./{responses}.json"),
            (f"{folder}/in/{manifest}.yml", f"../../{dataset}/d.json", f"../{responses}/r.json"),
        )
    )


def _shuffled(rng: Random, values: dict[str, Any]) -> dict[str, Any]:
    keys = list(values)
    rng.shuffle(keys)
    return {key: values[key] for key in keys}


def _yaml(rng: Random, manifest: dict[str, Any]) -> bytes:
    text: str = yaml.safe_dump(manifest, sort_keys=False, default_flow_style=rng.choice((None, False)))
    return text.encode()


def _json(rng: Random, value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1, 2)))
    return text.encode()
