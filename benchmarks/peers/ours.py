"""Ours: `profiler.run` in live mode, from the survey of the dataset to the summary, with journal, logs and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmarks import live
from benchmarks.peers import legs

if TYPE_CHECKING:
    from benchmarks.peers.legs import Leg
    from profiler.provider.open import Lane


def ask(leg: Leg) -> None:
    answers = Path(leg.answers)
    folder = live.finished_run(
        leg.dataset,
        base_url=leg.base_url,
        output_dir=answers.with_suffix(".run"),
        concurrency=leg.in_flight,
        lane=cast("Lane", leg.lane),
    )
    (folder / "responses.jsonl").replace(answers)


if __name__ == "__main__":
    legs.run(ask)
