"""Conversations of three turns over HTTP, each turn with the replies so far: ours, and the official SDK in a loop.

The server answers every turn as `--mode mock` would, so the right texts are those of a mock run. A turn that was sent
with the past of another conversation would be noticed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson

from benchmarks import contest, field, workload
from benchmarks.field import Course
from benchmarks.figure import median, ratios
from benchmarks.process import fresh
from benchmarks.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Figure, Scale

TURNS = 3
IN_FLIGHT = 64
SIZES = {field.FAST: 2_000, field.SDK_LOOP: 300}
QUICK = 20


def measure(scale: Scale) -> list[Figure]:
    sizes = {peer: {IN_FLIGHT: scale.pick(count, quick=QUICK)} for peer, count in SIZES.items()}
    most = _conversations(scale, max(*(count for legs in sizes.values() for count in legs.values()), field.WARM_UP))
    with serving("--dataset", str(most)) as server:
        course = Course(
            scale,
            server,
            dataset=partial(_conversations, scale),
            expected=_answers_of_the_mock,
            turns=TURNS,
        )
        taken = contest.held(scale, course, sizes)
    ours, loop = ([leg.rate for leg in taken[peer][IN_FLIGHT]] for peer in (field.FAST, field.SDK_LOOP))
    return [
        median(f"fast_by_sdk_loop_{IN_FLIGHT}", ratios(ours, loop), note=f"{TURNS} turns a dialogue"),
        *contest.rates(taken),
    ]


def _conversations(scale: Scale, count: int) -> Path:
    path = scale.folder / f"conversations-{count}.jsonl"
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(map(_conversation, range(count)))
    return path


def _conversation(number: int) -> bytes:
    row = orjson.loads(workload.dialogue(number))
    opening = row.pop("user")
    row["turns"] = [opening, *(f"{opening} Now say it in other words ({turn})." for turn in range(1, TURNS))]
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _answers_of_the_mock(dataset: Path) -> dict[str, str]:
    folder = dataset.with_suffix(".mock")
    if not folder.exists():
        fresh(workload.finished_run, dataset=dataset, output_dir=folder)
    responses = folder / workload.EXPERIMENT_ID / "responses.jsonl"
    rows = map(orjson.loads, responses.read_bytes().splitlines())
    return {row["dialogue_id"]: row["completion"] for row in rows}
