"""Kills the workers and the coordinator of runs by several processes with SIGKILL at random moments.

`python tests/faults.mock_fleet_storm.py --kills 100` prints what it saw and ends with 1 after any violation. The test suite
calls the same `storm`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.runs import COMPLETE, Site, dialogues, differing, ended, kill, wait_until

if TYPE_CHECKING:
    import subprocess

COUNT = 2_500
CONCURRENCY = 12
WORKERS_KILLED_A_COMMAND = 2
COMMANDS_A_RUN = 4
MODULE = b"profiler.fleet.workers.worker"


@dataclass(slots=True)
class Report:
    workers_killed: int = 0
    coordinators_killed: int = 0
    finished: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.workers_killed + self.coordinators_killed


def storm(folder: Path, *, kills: int, seed: int) -> Report:
    """Begin runs and kill what works on them, until there have been `kills` kills; each run ends as one that nobody killed."""
    report = Report()
    chance = random.Random(seed)
    settings: dict[str, Any] = {"concurrency": CONCURRENCY, "mock": {"latency_s": {"median_s": 0.004, "sigma": 0.8}}}
    site = Site(folder=folder).write(dialogues(COUNT), **settings).at("reference")
    if (reference := site.run()).code != 0:
        raise RuntimeError(f"the uninterrupted run failed: {reference.said}")
    whole = site.results()
    number = 0
    while report.kills < kills and number < kills:
        number += 1
        _one_run(site.at(f"runs{number}"), whole, report=report, chance=chance, most=kills)
    return report


def _one_run(site: Site, whole: dict[str, bytes], *, report: Report, chance: random.Random, most: int) -> None:
    before, process = report.kills, None
    for _ in range(COMMANDS_A_RUN):
        process = site.start("--processes", str(chance.randint(1, 3)), "--quiet")
        for _ in range(WORKERS_KILLED_A_COMMAND):
            called = len(site.calls()) + chance.randrange(COUNT // 4)
            if wait_until(process, lambda called=called: len(site.calls()) > called):  # type: ignore[misc]
                report.workers_killed += _kill_a_worker(process, chance)
        if report.kills >= most or chance.random() < 0.3:
            break
        report.coordinators_killed += kill(process)
        process = None
    last = ended(site.start("--processes", "2") if process is None else process)
    if last.code != 0:
        report.violations.append(f"{site.runs}: the last command ended with {last.code}: {last.said}")
        return
    report.finished += 1
    report.violations += [f"{site.runs}: {each}" for each in differing(site.results(), whole)]
    if (found := {path.name for path in site.run_dir.iterdir()}) != COMPLETE:
        report.violations.append(f"{site.runs}: found {sorted(found)} in the end")
    # Asked again is what was in flight, or answered and not written down yet, when somebody was killed.
    extra = len(site.calls()) - COUNT
    if extra > (report.kills - before) * 4 * CONCURRENCY:
        report.violations.append(f"{site.runs}: {extra} calls too many after {report.kills - before} kills")


def _kill_a_worker(process: subprocess.Popen[str], chance: random.Random) -> int:
    workers = sorted(workers_of(process.pid))
    if not workers:
        return 0
    with suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
        return 1
    return 0


def workers_of(pid: int) -> set[int]:
    """The workers that a coordinator has started, as /proc tells them."""
    found = set()
    for each in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((each / "stat").read_bytes().rpartition(b")")[2].split()[1])
            if parent == pid and MODULE in (each / "cmdline").read_bytes():
                found.add(int(each.name))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = storm(Path(folder), kills=args.kills, seed=args.seed)
    print(
        f"{report.workers_killed} workers and {report.coordinators_killed} coordinators killed, {report.finished} runs "
        f"finished, {len(report.violations)} violations"
    )
    print("\n".join(report.violations))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
