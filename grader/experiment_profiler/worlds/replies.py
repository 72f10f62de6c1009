"""The right replies to each dialogue of a world, by each of the three clients that a submission may be given.

A reply is None where the client has none. Every reply carries a signature that is in no file (see `marks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.worlds import dialogues, marks, prose
from grader.experiment_profiler.worlds.world import generator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from grader.experiment_profiler.worlds.dialogues import Dialogue
    from grader.experiment_profiler.worlds.world import World

TYPES: Final = ("answer", "answer", "answer", "refusal", "truncated")
STOPS: Final = ("end_turn", "stop_sequence", "refusal", "max_tokens", "tool_use", None)
ANY_LATENCY: Final = object()  # the world does not decide how long a live answer takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A completion and its metadata, as a client returns them."""

    completion: str
    type: str
    stop_reason: str | None
    usage: dict[str, int]
    latency_s: object
    model: str


Replies = dict[str, Reply | None]
Question = dict[str, Any]


def _facets(dialogue: Dialogue) -> tuple[object, ...]:
    """The parts of a dialogue that a client gets, in the order in which the tools sign them."""
    return (dialogue["dialogue_id"], dialogue["system"], dialogue["user"], *dialogue["required_facts"])


def prepared(world: World, secret: str, *, model: str | None = None) -> Replies:
    """The simulator's replies: the prepared answers with marks. `model` None is the manifest's model."""
    return {
        dialogue["dialogue_id"]: _prepared(world, dialogue, secret, model or str(world.manifest["model"]))
        for dialogue in world.dialogues
    }


def _prepared(world: World, dialogue: Dialogue, secret: str, model: str) -> Reply | None:
    answer = world.answers.get(dialogue["dialogue_id"])
    if answer is None:
        return None
    return Reply(
        completion=answer["completion"] + marks.stamp(secret, *_facets(dialogue)),
        type=dialogues.resolved_type(answer["metadata"]["type"], answer["stop_reason"]),
        stop_reason=answer["stop_reason"],
        usage=answer["usage"],
        latency_s=0.0,
        model=model,
    )


def handed(world: World, templates: Mapping[str, dict[str, Any] | None], secret: str) -> Replies:
    """The replies of the grader's own client, whose answers and metadata are random."""
    return {
        dialogue["dialogue_id"]: _handed(world, dialogue, templates[dialogue["dialogue_id"]], secret)
        for dialogue in world.dialogues
    }


def _handed(world: World, dialogue: Dialogue, template: dict[str, Any] | None, secret: str) -> Reply | None:
    if template is None:
        return None
    said = marks.stamp(secret, *_facets(dialogue), *settings(world.manifest))
    return Reply(**{**template, "completion": template["completion"] + said})


def settings(manifest: Mapping[str, Any]) -> tuple[object, ...]:
    """The settings that a factory is given when it builds a client, as the driver signs them."""
    return (manifest["model"], manifest["max_tokens"], float(manifest["temperature"]))


def templates(world: World, seed: str) -> dict[str, dict[str, Any] | None]:
    """The answers that the driver is given: everything except the signatures."""
    rng = generator(seed, f"handed/{world.name}")
    return {dialogue["dialogue_id"]: _template(rng, dialogue) for dialogue in world.dialogues}


def _template(rng: Random, dialogue: Dialogue) -> dict[str, Any] | None:
    if rng.random() < 0.1:
        return None
    facts = [prose.recased(rng, fact) for fact in dialogue["required_facts"] if rng.random() < 0.5]
    return {
        "completion": prose.sentence(rng, rng.choice((*prose.ANSWERS, *prose.REFUSALS)), facts),
        "type": rng.choice(TYPES),
        "stop_reason": rng.choice(STOPS),
        "usage": {"input_tokens": rng.randint(0, 9999), "output_tokens": rng.randint(0, 9999)},
        "latency_s": rng.randint(1, 90_000) / 1000,
        "model": f"{prose.word(rng)}-{rng.randint(1, 99)}",
    }


def live(world: World, secret: str, *, key: str, base_url: str) -> Replies:
    """The replies of the stand-in for the API, which signs the whole request."""
    asked = questions(world, key=key, base_url=base_url)
    return {
        dialogue["dialogue_id"]: _live(marks.live_message(secret, **question))
        for dialogue, question in zip(world.dialogues, asked, strict=True)
    }


def questions(world: World, *, key: str, base_url: str) -> list[Question]:
    """Everything that a live client says to the stand-in, for each dialogue."""
    model, max_tokens, temperature = settings(world.manifest)
    return [
        {
            "api_key": key,
            "base_url": base_url,
            "model": model,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "system": dialogue["system"],
            "user": dialogue["user"],
        }
        for dialogue in world.dialogues
    ]


def _live(message: Mapping[str, Any]) -> Reply | None:
    if message["error"] is not None:
        return None
    return Reply(
        completion="".join(message["texts"]),
        type=marks.TYPES.get(message["stop_reason"], "answer"),
        stop_reason=message["stop_reason"],
        usage=message["usage"],
        latency_s=ANY_LATENCY,
        model=message["model"],
    )
