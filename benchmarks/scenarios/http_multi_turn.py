"""Conversations of three turns over HTTP, each turn with the replies so far: ours, and the official SDK in a loop.

The server answers every turn as `--mode mock` would, so the right texts are those of a mock run. A turn that was sent
with the past of another conversation would be noticed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks import peer_programs, peer_runs, workload
from benchmarks.figure import median, ratios
from benchmarks.peer_programs import Course
from benchmarks.process import fresh
from benchmarks.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Figure, Scale

TURNS = 3
IN_FLIGHT = 64
SIZES = {peer_programs.FAST: 2_000, peer_programs.SDK_LOOP: 300}
QUICK = 20
SPARE = 10  # conversations to choose from, beside a tenth more


def measure(scale: Scale) -> list[Figure]:
    sizes = {peer: {IN_FLIGHT: scale.pick(count, quick=QUICK)} for peer, count in SIZES.items()}
    most = _conversations(
        scale, max(*(count for legs in sizes.values() for count in legs.values()), peer_programs.WARM_UP)
    )
    with serving("--dataset", str(most)) as server:
        course = Course(
            scale,
            server,
            dataset=partial(_conversations, scale),
            expected=_answers_of_the_mock,
            turns=TURNS,
        )
        taken = peer_runs.held(scale, course, sizes)
    ours, loop = ([leg.rate for leg in taken[peer][IN_FLIGHT]] for peer in (peer_programs.FAST, peer_programs.SDK_LOOP))
    return [
        median(f"fast_by_sdk_loop_{IN_FLIGHT}", ratios(ours, loop), note=f"{TURNS} turns a dialogue"),
        *peer_runs.rates(taken),
    ]


def _conversations(scale: Scale, count: int) -> Path:
    """As many that have all their turns: ours ends one that is refused, and a loop would go on."""
    path = scale.folder / f"conversations-{count}.jsonl"
    if not path.exists():
        candidates = scale.folder / f"candidates-{count}.jsonl"
        lines = [_conversation(number) for number in range(count + count // 10 + SPARE)]
        candidates.write_bytes(b"".join(lines))
        whole = [line for line, row in zip(lines, _mock_run(candidates), strict=True) if row["type"] == "answer"]
        path.write_bytes(b"".join(whole[:count]))
    return path


def _conversation(number: int) -> bytes:
    row = orjson.loads(workload.dialogue(number))
    opening = row.pop("user")
    row["turns"] = [opening, *(f"{opening} Now say it in other words ({turn})." for turn in range(1, TURNS))]
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _answers_of_the_mock(dataset: Path) -> dict[str, str]:
    return {row["dialogue_id"]: row["completion"] for row in _mock_run(dataset)}


def _mock_run(dataset: Path) -> list[dict[str, Any]]:
    folder = dataset.with_suffix(".mock")
    if not folder.exists():
        fresh(workload.finished_run, dataset=dataset, output_dir=folder)
    responses = folder / workload.EXPERIMENT_ID / "responses.jsonl"
    return [orjson.loads(line) for line in responses.read_bytes().splitlines()]
