"""How long a comparison of a million pairs takes, and in how much memory, in the same order and in another.

    python -m tests.profiler.results.comparing.million               # a gigabyte of files, some minutes
    python -m tests.profiler.results.comparing.million --pairs 100000

Meant for a machine that does nothing else: what it prints is processor time, but a busy neighbour makes that longer too.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import orjson

from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.names import REQUESTS, RESPONSES, SCORES, SUMMARY
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from collections.abc import Iterable

LINE = orjson.OPT_APPEND_NEWLINE
ANSWER = "Here is what I know about it: it has to do with the sun and with the moon. " * 2


def write(folder: Path, numbers: Iterable[int], *, seed: int) -> None:
    """A complete run over short questions, with four scores, costs, times and tokens."""
    drawn = Random(seed)
    folder.mkdir()
    with (
        (folder / REQUESTS).open("wb") as requests,
        (folder / RESPONSES).open("wb") as responses,
        (folder / SCORES).open("wb") as scores,
    ):
        for index, number in enumerate(numbers):
            known = {"dialogue_id": f"d{number}", "index": index}
            prompt = {"system": None, "user": f"Tell me about the number {number}, and what it is good for."}
            judged = {"required_facts": ["sun", "moon"], "tags": [f"t{number % 5}"]}
            requests.write(orjson.dumps({**known, "model": "m", "prompt": prompt, **judged}, option=LINE))
            cost = {"cost_usd": drawn.random() / 100, "latency_s": drawn.random()}
            usage = {"usage": {"input_tokens": 20 + number % 7, "output_tokens": 7 + drawn.randrange(40)}}
            answer = {**known, "completion": ANSWER, "type": "answer", **usage, **cost}
            responses.write(orjson.dumps(answer, option=LINE))
            scored = {"fact_coverage": drawn.choice([0.0, 0.5, 1.0]), "exact_match": drawn.random() < 0.8}
            both = {"refusal_rate": False, "completion_rate": True}
            scores.write(orjson.dumps({**known, "scores": {**scored, **both}}, option=LINE))
    told = {"mode": "mock", "metrics": [], "identity": {"model": "m"}}
    (folder / SUMMARY).write_bytes(orjson.dumps({"metrics": {}, "counts": {}, "run": told}))


def measured(base: str, new: str) -> None:
    began = time.process_time()
    findings = compare(SavedRun(base), [SavedRun(new)], Question())
    took, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{Path(new).name:>8}: {findings.against[0].pairing.paired:,} pairs, {took:.1f} s, {peak:.0f} MB", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measured(*args.measure)
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder, numbers = Path(place), list(range(args.pairs))
        write(folder / "base", numbers, seed=1)
        write(folder / "same", numbers, seed=2)
        Random(3).shuffle(numbers)
        write(folder / "shuffled", numbers, seed=4)
        for new in ("same", "shuffled"):  # each in a process of its own, whose memory is that of one comparison
            words = ["--measure", str(folder / "base"), str(folder / new)]
            subprocess.run([sys.executable, "-m", __spec__.name, *words], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
