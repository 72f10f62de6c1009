"""As fast as the provider allows, and no faster: a server that enforces its limits, and one that asks for a pause.

The server allows a second's worth of requests at once, and then so many a second. In one run the manifest names the
limit on requests; in another nobody names the limit, which is one on output tokens, but reply headers do. Measured is
the share of what was allowed, by the server's own counters, from the first request to the last.

In the third run nothing is limited, but one request in the middle gets 429 and is asked to wait a second. Measured is
how long nobody asked anything afterwards, compared with what was asked for. A pause is up to 2 % longer on purpose.

None of this keeps a processor busy, so the three run side by side.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import live, workload
from benchmarks.clients import Paced
from benchmarks.figure import median
from benchmarks.process import fresh
from benchmarks.serving import serving
from profiler.manifest.settings import RateLimits
from profiler.provider.mock_server.static_answer import STATIC

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.figure import Figure, Scale
    from benchmarks.serving import Serving

IN_FLIGHT = 64
PER_SECOND = 500
BURST_S = 1.0
LATENCY_S = 0.02
SHARE, REFUSED, PAUSE = 0.97, 0.01, 1.05
OUTPUT_TOKENS = STATIC["usage"]["output_tokens"]

SERVER = ("--static", "--latency", str(LATENCY_S))


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One run, by the server's counters and by its own client."""

    of_allowed: float
    refused: float
    pause: float


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(6 * PER_SECOND, quick=PER_SECOND + 100)
    dataset = workload.dialogues(scale, count)
    limit = ("--burst", str(BURST_S), "--requests-per-minute", str(PER_SECOND * 60))
    tokens = ("--burst", str(BURST_S), "--output-tokens-per-minute", str(PER_SECOND * 60 * OUTPUT_TOKENS))
    script = scale.folder / "pause.json"
    script.write_text(json.dumps([{"fault": "ok", "times": count // 2}, {"fault": "429", "retry_after": "1"}]))
    with (
        ThreadPoolExecutor(3) as side_by_side,
        serving(*SERVER, *limit) as by_requests,
        serving(*SERVER, *tokens) as by_tokens,
        serving(*SERVER, "--script", str(script)) as pausing,
    ):
        runs = (
            partial(_seen, scale, dataset, server=by_requests, requests_per_minute=PER_SECOND * 60),
            partial(_seen, scale, dataset, server=by_tokens),
            partial(_seen, scale, dataset, server=pausing),
        )
        rounds = [list(side_by_side.map(_called, runs)) for _ in range(scale.few)]
    told, learned, paused = zip(*rounds, strict=True)
    note = f"{PER_SECOND:,} requests/s; {count:,} dialogues"
    return [
        *_figures("named", told, note=note),
        *_figures("learned", learned, note=f"by output tokens, {note}"),
        median("pause_by_asked", [run.pause for run in paused], at_most=PAUSE),
    ]


def _called(run: Callable[[], Seen]) -> Seen:
    return run()


def _figures(name: str, runs: tuple[Seen, ...], *, note: str) -> list[Figure]:
    return [
        median(f"of_allowed_{name}", [run.of_allowed for run in runs], at_least=SHARE, note=note),
        median(f"refused_{name}", [run.refused for run in runs], at_most=REFUSED, note="share of the answers"),
    ]


def _seen(scale: Scale, dataset: Path, *, server: Serving, requests_per_minute: int | None = None) -> Seen:
    server.reset()
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        pause: float = fresh(
            calling,
            dataset=dataset,
            output_dir=folder,
            base_url=server.base_url,
            requests_per_minute=requests_per_minute,
        ).value
    return _by_counters(server.stats(), pause=pause)


def _by_counters(stats: dict[str, Any], *, pause: float) -> Seen:
    replies: dict[str, int] = stats["replies"]["by_status"]
    allowed = PER_SECOND * (BURST_S + stats["rate"]["span_s"])
    return Seen(of_allowed=replies["200"] / allowed, refused=replies.get("429", 0) / sum(replies.values()), pause=pause)


def calling(*, dataset: str, output_dir: str, base_url: str, requests_per_minute: int | None) -> float:
    asked = live.experiment(dataset, base_url=base_url, concurrency=IN_FLIGHT)
    if requests_per_minute is not None:
        asked = msgspec.structs.replace(asked, rate_limits=RateLimits(requests_per_minute=requests_per_minute))
    return live.seen_run(asked, output_dir=output_dir, seen=Paced).longest_by_asked
