"""Latencies with a long tail over HTTP, and one answer that takes longer than all others together.

The server draws latencies (log-normal, median 50 ms). The same run is made without a straggler, and with dialogue 0
held back until well after the end; measured is how fast the others are answered. The limit is what so many calls in
flight could reach if only the mean latency stood in their way.
"""

from __future__ import annotations

import json
import math
import tempfile
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import live, workload
from benchmarks.clients import Watched
from benchmarks.figure import alternate, median, ratios
from benchmarks.process import fresh
from benchmarks.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Figure, Scale
    from benchmarks.serving import Serving

IN_FLIGHT = 128
MEDIAN_S = 0.05
SIGMA = 1.0
HELD_BACK_S = 1.5  # as a multiple of the time that the others need at the limit


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(5_000, usual=3_000, quick=300)
    dataset = workload.dialogues(scale, count)
    limit = IN_FLIGHT / (MEDIAN_S * math.exp(SIGMA**2 / 2))
    script = scale.folder / "straggler.json"
    rule = {"dialogue_id": workload.dialogue_id(0), "fault": "ok", "delay_s": HELD_BACK_S * count / limit}
    script.write_text(json.dumps([rule]), encoding="utf-8")
    tail = ("--dataset", str(dataset), "--latency", str(MEDIAN_S), "--latency-sigma", str(SIGMA))
    with serving(*tail, "--script", str(script)) as stalling, serving(*tail) as plain:
        held_back, free = alternate(
            scale.few,
            partial(_rate, scale, dataset, count=count, server=stalling),
            partial(_rate, scale, dataset, count=count, server=plain),
        )
    return [
        median("stalled_by_plain", ratios(held_back, free), at_least=0.95, note=f"{count:,} dialogues"),
        median("plain_by_limit", [rate / limit for rate in free], note=f"{limit:,.0f} dialogues/s"),
        median("plain", free, unit="dialogues/s"),
    ]


def _rate(scale: Scale, dataset: Path, *, count: int, server: Serving) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        told = fresh(calling, dataset=dataset, output_dir=folder, base_url=server.base_url, count=count)
    return (count - 1) / float(told.value)


def calling(*, dataset: str, output_dir: str, base_url: str, count: int) -> float:
    asked = live.experiment(dataset, base_url=base_url, concurrency=IN_FLIGHT)
    return live.seen_run(asked, output_dir=output_dir, seen=lambda client: Watched(client, count=count)).seconds
