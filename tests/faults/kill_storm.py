"""Kills runs with SIGKILL at random moments, finishes them with the same command, and looks for anything lost.

`python tests/faults/kill_storm.py --kills 100` prints what it saw and ends with 1 after any violation. The test suite
calls the same `storm`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.runs import COMPLETE, LOGS, Site, dialogues, differing, ended, kill, size, wait_until, whole_lines

if TYPE_CHECKING:
    import subprocess

KILLS_A_RUN = 4
TRIES_A_RUN = 3 * KILLS_A_RUN
TAIL_S = 0.03
START_S = 0.4


@dataclass(slots=True)
class Report:
    kills: int = 0
    finished: int = 0
    torn: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.kills += other.kills
        self.finished += other.finished
        self.torn += other.torn
        self.moments += other.moments
        self.violations += other.violations


def _latency(median_s: float, **more: Any) -> dict[str, Any]:
    return {"latency_s": {"median_s": median_s, **more}}


def _long(count: int) -> list[dict[str, Any]]:
    return dialogues(count, system="Ünïcode ☀ " * 600, required_facts=["sun ☀ " * 700])


def _several_turns(count: int) -> list[dict[str, Any]]:
    return [{"dialogue_id": f"d{i}", "turns": [f"Hello {i}", "And then?", "Why?"], "tags": ["t"]} for i in range(count)]


SCENARIOS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "repeats": (dialogues(200), {"repeats": 3, "concurrency": 16, "mock": _latency(0.006, sigma=1.0)}),
    "straggler": (dialogues(700), {"concurrency": 32, "mock": _latency(0.01, stalls={"d3": 0.5})}),
    "projection": (dialogues(8000), {"concurrency": 64, "output_fields": ["type", "dialogue_id", "completion"]}),
    "turns": (_several_turns(250), {"concurrency": 20, "mock": _latency(0.005, sigma=0.7)}),
    "failures": (
        dialogues(400),
        {
            "concurrency": 8,
            "mock": {**_latency(0.005, sigma=0.5), "faults": {"invalid_request": 0.1, "overloaded": 0.01}},
        },
    ),
    "long lines": (_long(400), {"concurrency": 8, "max_tokens": 4096, "mock": {"latency_s": 0.004}}),
}


def storm(folder: Path, *, kills: int, seed: int, tear: bool = False, at_once: int = 2) -> Report:
    """Run every scenario in turn, killing each run a few times, until there have been `kills` kills."""
    report = Report()
    references: dict[str, Reference] = {}
    names = random.Random(seed).sample(list(SCENARIOS), len(SCENARIOS))
    number = 0
    with ThreadPoolExecutor(at_once) as threads:
        while report.kills < kills and number < kills:  # a trial without a kill comes too late, not never
            owed = max(1, min(at_once, -(-(kills - report.kills) // KILLS_A_RUN)))
            numbers = range(number, number + owed)
            for name in {names[each % len(names)] for each in numbers} - references.keys():
                references[name] = _reference(folder / name.replace(" ", "_"), name)
            trials = [
                Trial(references[names[each % len(names)]], runs=f"runs{each}", seed=f"{seed} {each}", tear=tear)
                for each in numbers
            ]
            number += owed
            for part in threads.map(Trial.survive, trials):
                report.add(part)
    return report


@dataclass(frozen=True, slots=True)
class Reference:
    """An uninterrupted run of a scenario: every interrupted run must end with the same files."""

    name: str
    site: Site
    results: dict[str, bytes]
    seconds: float
    call_log_size: int


def _reference(folder: Path, name: str) -> Reference:
    items, settings = SCENARIOS[name]
    site = Site(folder=folder).write(items, **settings).at("reference")
    began = time.monotonic()
    done = site.run_here()
    if done.code != 0:
        raise RuntimeError(f"{name}: the uninterrupted run failed: {done.said}")
    results = site.results()
    return Reference(
        name=name,
        site=site,
        results=results,
        seconds=START_S + time.monotonic() - began,
        call_log_size=size(site.call_log),
    )


class Trial:
    """One run that is killed several times, resumed each time, and finished."""

    def __init__(self, reference: Reference, *, runs: str, seed: str, tear: bool) -> None:
        self.reference = reference
        self.site = reference.site.at(runs)
        self.random = random.Random(seed)
        self.tear = tear
        self.kept: set[str] = set()
        self.calls_before = 0
        self.report = Report()

    def survive(self) -> Report:
        for _ in range(TRIES_A_RUN):
            if self.report.kills == KILLS_A_RUN:
                break
            process = self.site.start("--quiet")
            self._wait(process)
            if not kill(process):
                break
            self._examine()
        last = ended(self.site.start())
        if last.code != 0:
            self._violated(f"the last run ended with {last.code}: {last.said}")
            return self.report
        self._no_second_call()
        for line in differing(self.site.results(), self.reference.results):
            self._violated(line)
        self.report.finished += 1
        return self.report

    def _violated(self, what: str) -> None:
        self.report.violations.append(f"{self.reference.name}, {self.site.run_dir}: {what}")

    def _wait(self, process: subprocess.Popen[str]) -> None:
        """Wait for a random moment: a time, a number of calls, or some time after the last answer was written in order."""
        match "growth" if self.tear else self.random.choice(("clock", "growth", "growth", "end")):
            case "clock":
                clock_runs_out(process, self.random.uniform(0.1, self.reference.seconds))
            case "growth":
                least = self.random.uniform(size(self.site.call_log), self.reference.call_log_size)
                wait_until(process, lambda: size(self.site.call_log) > least)
            case _:
                whole = len(self.reference.results["responses.jsonl"])
                wait_until(process, lambda: size(self.site.responses) >= whole)
                clock_runs_out(process, self.random.uniform(0.0, TAIL_S))

    def _examine(self) -> None:
        """Check what the kill left: each log is a beginning of the final one, and no dialogue that had its answer was
        asked again."""
        self.report.kills += 1
        self.report.moments[self._moment()] += 1
        self._no_second_call()
        if self.tear and self.site.journal.exists():
            self._tear()
        for name in LOGS:
            path = self.site.run_dir / name
            if path.exists() and not self.reference.results[name].startswith(path.read_bytes()):
                self._violated(f"{name} is no beginning of what it should become")
        if self.site.journal.exists():
            self.kept = self.site.answered()

    def _no_second_call(self) -> None:
        calls = self.site.calls()
        for dialogue in sorted(self.kept.intersection(calls[self.calls_before :])):
            self._violated(f"{dialogue} was in the journal and was called again")
        self.calls_before = len(calls)

    def _tear(self) -> None:
        """Cut any of the files at any byte, as a power cut may.

        The journal's first line stays: it is written before anything else.
        """
        header = sum(len(line) for line in whole_lines(self.site.journal)[:1])
        for path, least in ((self.site.journal, header), (self.site.requests, 0), (self.site.responses, 0)):
            if path.exists() and size(path) > least:
                with path.open("rb+") as file:
                    file.truncate(self.random.randint(least, size(path)))
                self.report.torn += 1

    def _moment(self) -> str:
        """Tell from the files in which phase of the run the kill came."""
        names = {path.name for path in self.site.run_dir.iterdir()} if self.site.run_dir.exists() else set()
        total = self.reference.results["requests.jsonl"].count(b"\n")
        if not whole_lines(self.site.journal):
            return "finished" if self.site.summary.exists() else "survey"
        if len(self.site.answered()) < total:
            return "calling"
        if size(self.site.responses) < len(self.reference.results["responses.jsonl"]):
            return "catching up"
        return "finishing" if names >= COMPLETE else "reduction"


def clock_runs_out(process: subprocess.Popen[str], seconds: float) -> None:
    wait_for = time.monotonic() + seconds
    wait_until(process, lambda: time.monotonic() >= wait_for)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill runs at random moments and look for anything lost.")
    parser.add_argument("--kills", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="other moments (default: 0)")
    parser.add_argument("--tear", action="store_true", help="also cut the files at random bytes after each kill")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-storm-") as folder:
        report = storm(Path(folder), kills=args.kills, seed=args.seed, tear=args.tear)
    for violation in report.violations:
        print(f"VIOLATION {violation}")
    moments = ", ".join(f"{count} in {moment}" for moment, count in report.moments.most_common())
    print(f"{report.kills} kills ({moments}), {report.torn} files torn, {report.finished} runs finished after them")
    print(f"{len(report.violations)} violations in {time.monotonic() - began:.0f} s")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
