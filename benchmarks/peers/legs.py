"""What all peers share: take the legs, run each of them, and print what it took.

The one argument is a JSON list of legs; stdout gets a JSON line for each. Whatever libraries print goes to stderr.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

KEY = "mock"
PATIENCE_S = 600.0  # long enough for a busy machine
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One measurement: the server, the dialogues, how many are in flight, and where answers are written."""

    base_url: str
    dataset: str
    answers: str
    in_flight: int
    model: str
    max_tokens: int
    lane: str = "fast"  # ours has more than one

    def dialogues(self) -> Iterator[dict[str, Any]]:
        with Path(self.dataset).open("rb") as lines:
            yield from map(json.loads, lines)

    def request(self, dialogue: dict[str, Any]) -> dict[str, Any]:
        """The body of a call, which also serves as arguments of the SDK's `messages.create`."""
        return {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "messages": [{"role": "user", "content": dialogue["user"]}],
            "system": dialogue["system"],
        }


def run(ask: Callable[[Leg], None]) -> None:
    """Run the legs of the command line one after the other."""
    told = os.fdopen(os.dup(1), "w")
    # From here on stdout is stderr, so that nothing a library prints mixes with the results.
    os.dup2(2, 1)
    for given in json.loads(sys.argv[1]):
        leg = Leg(**given)
        # what an earlier leg left is not to be paid for by this one
        gc.collect()
        begun, used = time.perf_counter(), _cpu_s()
        ask(leg)
        wall_s, cpu_s = time.perf_counter() - begun, _cpu_s() - used
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e6
        print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": peak_mb}), file=told, flush=True)


def run_async(ask: Callable[[Leg], Awaitable[None]]) -> None:
    """The same on an event loop, uvloop's if that is installed."""
    run(lambda leg: with_loop(lambda: ask(leg)))


def with_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    loop_factory = None
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop  # noqa: PLC0415 (an extra)

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def ask_all(leg: Leg, ask: Callable[[dict[str, Any]], Awaitable[str]]) -> None:
    """The plain loop: a number of workers that take the next dialogue, and write answers as they come."""
    with Path(leg.answers).open("w", encoding="utf-8") as file:
        # one iterator for all workers, so each dialogue is taken once
        turns = leg.dialogues()

        async def work() -> None:
            for dialogue in turns:
                write_answer(file, dialogue["dialogue_id"], await ask(dialogue))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(leg.in_flight):
                tasks.create_task(work())


def write_answer(file: IO[str], dialogue_id: str, completion: str | Sequence[str]) -> None:
    file.write(json.dumps({"dialogue_id": dialogue_id, "completion": completion}) + "\n")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
