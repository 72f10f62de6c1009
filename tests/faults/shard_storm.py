"""Kills shards and the merge of their runs with SIGKILL at random moments, in a shared folder or with an object store between
machines that may lose their disks.

`python tests/faults/shard_storm.py --kills 40 [--store]` prints what it saw and ends with 1 after any violation. The test
suite calls the same `storm`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.runs import COMPLETE, Site, dialogues, differing, ended, kill, wait_until

if TYPE_CHECKING:
    import subprocess

COUNT = 1_500
SHARDS = 2  # with ranges of 750 items, which is what one process of 1,500 gets
CONCURRENCY = 12
COMMANDS_A_SHARD = 3


@dataclass(slots=True)
class Report:
    shards_killed: int = 0
    merges_killed: int = 0
    disks_lost: int = 0
    finished: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.shards_killed + self.merges_killed


class Storm:
    """The runs of one storm, one after the other."""

    def __init__(self, folder: Path, *, chance: random.Random, store: bool) -> None:
        settings: dict[str, Any] = {
            "concurrency": CONCURRENCY,
            "mock": {"latency_s": {"median_s": 0.004, "sigma": 0.8}},
        }
        self.report = Report()
        self._site = Site(folder=folder).write(dialogues(COUNT), **settings)
        self._chance = chance
        self._store = store
        if (reference := self._site.at("reference").run()).code != 0:
            raise RuntimeError(f"the uninterrupted run failed: {reference.said}")
        self._whole = self._site.at("reference").results()

    def run(self, number: int) -> None:
        machines = [self._machine(number, shard) for shard in range(SHARDS)]
        for _ in range(COMMANDS_A_SHARD - 1):
            started = [(site, site.start(*words)) for site, words in machines if self._chance.random() < 0.8]
            for site, process in started:
                self._kill_a_shard(site, process)
        for site, words in machines:
            last = site.run(*words)
            if last.code != 0:
                self._wrong(site, f"the last command of a shard ended with {last.code}: {last.said}")
                return
        self._merge(number)

    def _machine(self, number: int, shard: int) -> tuple[Site, list[str]]:
        words = ["--shard", f"{shard}/{SHARDS}", "--quiet", *self._meeting(number)]
        return self._site.at(f"runs{number}-machine{shard}" if self._store else f"runs{number}"), words

    def _meeting(self, number: int) -> list[str]:
        return ["--store", (self._site.folder / f"store{number}").as_uri()] if self._store else []

    def _kill_a_shard(self, site: Site, process: subprocess.Popen[str]) -> None:
        called = len(site.calls()) + self._chance.randrange(COUNT // SHARDS)
        wait_until(process, lambda: len(site.calls()) > called)
        if not kill(process):
            return
        self.report.shards_killed += 1
        if self._store and self._chance.random() < 0.4:
            self.report.disks_lost += 1
            shutil.rmtree(site.run_dir.parent, ignore_errors=True)  # workers may still write there

    def _merge(self, number: int) -> None:
        site = self._site.at(f"runs{number}")
        words = ["--config", str(site.manifest), "--output-dir", str(site.run_dir.parent), *self._meeting(number)]
        command = [sys.executable, "-m", "profiler", "merge", *words, "--quiet"]
        sign = self._chance.choice(["fleet/claims/whole.lock", "fleet/merged.json", "scores.jsonl", "summary.json"])
        process = site.start(command=command)
        wait_until(process, (site.run_dir / sign).exists)
        self.report.merges_killed += kill(process)
        last = ended(site.start(command=command))
        if last.code != 0:
            self._wrong(site, f"merge ended with {last.code}: {last.said}")
            return
        self.report.finished += 1
        for each in differing(site.results(), self._whole):
            self._wrong(site, each)
        if (found := {path.name for path in site.run_dir.iterdir()}) != COMPLETE:
            self._wrong(site, f"found {sorted(found)} in the end")

    def _wrong(self, site: Site, what: str) -> None:
        self.report.violations.append(f"{site.runs}: {what}")


def storm(folder: Path, *, kills: int, seed: int, store: bool) -> Report:
    """Begin runs and kill what works on them, until there have been `kills` kills; each run ends as one that nobody killed."""
    found = Storm(folder, chance=random.Random(seed), store=store)
    for number in range(kills):
        if found.report.kills >= kills:
            break
        found.run(number)
    return found.report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = storm(Path(folder), kills=args.kills, seed=args.seed, store=args.store)
    print(
        f"{report.shards_killed} shards and {report.merges_killed} merges killed, {report.disks_lost} disks lost, "
        f"{report.finished} runs finished, {len(report.violations)} violations"
    )
    print("\n".join(report.violations))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
