"""Limits that no header explains: a provider that counts `max_tokens`, and a key that two processes share.

The first provider counts the whole `max_tokens` of a call against its limit on output tokens, 60,000 a minute, with
1,024 for answers of 20; measured is how long the run took, compared with somebody who always knows what is free. The
second one limits requests, says nothing about it in its headers, and is asked by two processes at once; measured is the
share of what it allowed. For both, the share of refused calls is measured too.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from benchmarks import live, workload
from benchmarks.clients import Paced
from benchmarks.figure import median
from benchmarks.limited_provider import LimitedProvider, limited, shortest_s
from benchmarks.process import fresh

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Figure, Scale

IN_FLIGHT = 64
TOKENS_PER_MINUTE, MAX_TOKENS, LATENCY_S = 60_000, 1024, 0.2
REQUESTS_PER_MINUTE, BURST_S = 6_000, 1.0
SHARE, REFUSED_HELD, REFUSED_SHARED = 0.9, 0.02, 0.05


def measure(scale: Scale) -> list[Figure]:
    held = [_held(scale) for _ in range(scale.few)]
    shared = [_shared(scale) for _ in range(scale.few)]
    return [
        median(
            "of_reachable_held", [reached for reached, _ in held], at_least=SHARE, note="max_tokens 1,024, answers 20"
        ),
        median("refused_held", [refused for _, refused in held], at_most=REFUSED_HELD),
        median("of_allowed_shared", [reached for reached, _ in shared], note="two processes, one key"),
        median("refused_shared", [refused for _, refused in shared], at_most=REFUSED_SHARED),
    ]


def _held(scale: Scale) -> tuple[float, float]:
    count = scale.pick(2_400, quick=200)
    provider = LimitedProvider(per_minute=TOKENS_PER_MINUTE, burst_s=60.0, latency_s=LATENCY_S, holds=True)
    with limited(provider):
        _run(scale, workload.dialogues(scale, count), base_url=provider.base_url)
    shortest = shortest_s(count, per_minute=TOKENS_PER_MINUTE, hold=MAX_TOKENS, latency_s=LATENCY_S, slots=IN_FLIGHT)
    return shortest / provider.span_s, _refused(provider)


def _shared(scale: Scale) -> tuple[float, float]:
    dataset = workload.dialogues(scale, scale.pick(1_000, quick=100))
    provider = LimitedProvider(per_minute=REQUESTS_PER_MINUTE, burst_s=BURST_S, latency_s=LATENCY_S, holds=False)
    with limited(provider), ThreadPoolExecutor(2) as side_by_side:
        ask = partial(_run, scale, dataset, base_url=provider.base_url)
        for run in [side_by_side.submit(ask) for _ in range(2)]:
            run.result()
    return provider.answered / provider.allowed, _refused(provider)


def _refused(provider: LimitedProvider) -> float:
    return provider.refused / (provider.answered + provider.refused)


def _run(scale: Scale, dataset: Path, *, base_url: str) -> None:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        fresh(calling, dataset=dataset, output_dir=folder, base_url=base_url)


def calling(*, dataset: str, output_dir: str, base_url: str) -> None:
    asked = live.experiment(dataset, base_url=base_url, concurrency=IN_FLIGHT)
    live.seen_run(msgspec.structs.replace(asked, max_tokens=MAX_TOKENS), output_dir=output_dir, seen=Paced)
