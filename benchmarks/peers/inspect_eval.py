"""Inspect AI: a task with one generation for each sample and no scorer; its log is written as by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.solver import generate

from benchmarks.peers import legs

if TYPE_CHECKING:
    from benchmarks.peers.legs import Leg


def ask(leg: Leg) -> None:
    samples = [
        Sample(
            id=dialogue["dialogue_id"],
            input=[ChatMessageSystem(content=dialogue["system"]), ChatMessageUser(content=dialogue["user"])],
        )
        for dialogue in leg.dialogues()
    ]
    logs = evaluate(
        Task(dataset=MemoryDataset(samples), solver=generate()),
        model=get_model(f"anthropic/{leg.model}", base_url=leg.base_url, api_key=legs.KEY, memoize=False),
        max_connections=leg.in_flight,
        max_samples=leg.in_flight,
        max_tokens=leg.max_tokens,
        log_dir=f"{leg.answers}.logs",
        display="none",
    )
    with Path(leg.answers).open("w", encoding="utf-8") as file:
        for sample in logs[0].samples or []:
            legs.write_answer(file, str(sample.id), sample.output.completion)


if __name__ == "__main__":
    legs.run(ask)
