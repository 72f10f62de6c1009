"""Eight processes that share one key: as much as the provider allows, and hardly a refusal.

The server allows ten seconds' worth of requests at once, and then so many a second; only its headers say so. The run is the
command that one types, `profiler run --processes 8`. Measured is the share of what was allowed, by the server's own
counters from the first request to the last, and the share of refused ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.figure import median
from benchmarks.process import ROOT, ChildFailed
from benchmarks.serving import serving

if TYPE_CHECKING:
    from benchmarks.figure import Figure, Scale
    from benchmarks.serving import Serving

PROCESSES, IN_FLIGHT = 8, 64
PER_SECOND = 100
BURST_S = 10.0
LATENCY_S = 0.02
SHARE, REFUSED = 0.97, 0.01


def measure(scale: Scale) -> list[Figure]:
    processes = scale.pick(PROCESSES, quick=2)
    count = scale.pick(60 * PER_SECOND, quick=2 * PER_SECOND)
    dataset = workload.dialogues(scale, count)
    limit = ("--burst", str(BURST_S), "--requests-per-minute", str(PER_SECOND * 60))
    with serving("--static", "--latency", str(LATENCY_S), *limit) as server:
        runs = [_seen(scale, dataset, server=server, processes=processes) for _ in range(scale.few)]
    note = f"{processes} processes, {PER_SECOND:,} requests/s told by headers; {count:,} dialogues"
    return [
        median("of_allowed", [of_allowed for of_allowed, _ in runs], at_least=SHARE, note=note),
        median("refused", [refused for _, refused in runs], at_most=REFUSED, note="share of the answers"),
    ]


def _seen(scale: Scale, dataset: Path, *, server: Serving, processes: int) -> tuple[float, float]:
    server.reset()
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        manifest = Path(folder) / "manifest.yaml"
        asked = {"experiment_id": "shared", "model": "claude-haiku-4-5", "max_tokens": 64, "dataset_path": str(dataset)}
        manifest.write_text(json.dumps({**asked, "concurrency": IN_FLIGHT}))
        words = ["run", "--config", str(manifest), "--output-dir", folder, "--mode", "live", "--quiet"]
        ended = subprocess.run(
            [sys.executable, "-m", "profiler", *words, "--processes", str(processes)],
            cwd=ROOT,
            env={**os.environ, "ANTHROPIC_API_KEY": "key", "ANTHROPIC_BASE_URL": server.base_url},
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        raise ChildFailed(ended.stderr)
    return _by_counters(server.stats())


def _by_counters(stats: dict[str, Any]) -> tuple[float, float]:
    replies: dict[str, int] = stats["replies"]["by_status"]
    allowed = PER_SECOND * (BURST_S + stats["rate"]["span_s"])
    return replies["200"] / allowed, replies.get("429", 0) / sum(replies.values())
