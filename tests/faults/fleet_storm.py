"""Kills workers, brokers and coordinators of live runs at random moments. The server keeps the bill.

`python tests/faults/fleet_storm.py --kills 100` prints what it saw and ends with 1 after any violation. The test suite calls
the same `storm`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from profiler.fleet.broker.kept_money import NAME
from profiler.fleet.broker.process import TOKEN
from profiler.money.prices import dollars
from profiler.storage.reading.saved_run import SavedRun
from tests.faults.live import KEY, live_site, provider
from tests.faults.runs import dialogues, ended, wait_until, whole_records
from tests.faults.test_live_money import billed_usd

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.faults.live import Provider
    from tests.faults.runs import Ended, Site

WORKERS = 3
CONCURRENCY = 12
COUNT = 900
CAPS_USD = (0.04, 1.0)  # in turn: about what all costs, and plenty, so that the run comes to its end
KILLS_A_RUN = 8
KILLS_A_COMMAND = 4
NOTHING_USD = 1e-9
SMALL_RANGES = """
import sys
from profiler.cli.main import main
from profiler.fleet import merging
from profiler.fleet.preparing import prepare

prepare.LEAST_ITEMS, merging.SAVE_EVERY_S = 20, 0.0
sys.exit(main(sys.argv[1:]))
"""  # so ranges are committed, put together and removed all the time
FAULTS = {"half-body": 0.02, "reset": 0.02, "500": 0.03}
TARGETS = ("profiler.fleet.workers.worker", "profiler.fleet.workers.worker", "profiler.fleet.broker", "coordinator")


@dataclass(slots=True)
class Report:
    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    capped: int = 0
    most_of_the_cap: float = 0.0
    lost_usd: float = 0.0  # that counts as spent, and nobody has spent it
    violations: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.kills += other.kills
        self.finished += other.finished
        self.capped += other.capped
        self.most_of_the_cap = max(self.most_of_the_cap, other.most_of_the_cap)
        self.lost_usd = max(self.lost_usd, other.lost_usd)
        self.violations += other.violations


def storm(folder: Path, *, kills: int, seed: int) -> Report:
    """One run after the other, each killed several times, until there have been `kills` kills."""
    report, number = Report(), 0
    while report.kills.total() < kills and number < kills:
        trial = Trial(
            folder / f"{number}",
            moments=random.Random(f"{seed} {number}"),
            kills=kills - report.kills.total(),
            cap_usd=CAPS_USD[number % 2],
        )
        report.add(trial.survive())
        number += 1
    return report


class Trial:
    def __init__(self, folder: Path, *, moments: random.Random, kills: int, cap_usd: float) -> None:
        self.site = live_site(
            folder, dialogues(COUNT), concurrency=CONCURRENCY, retry={"max_attempts": 3, "deadline_s": 60}
        )
        self.moments = moments
        self.cap_usd = cap_usd
        self.report = Report()
        self.most = min(kills, KILLS_A_RUN)
        self.tokens: set[str] = set()

    def survive(self) -> Report:
        with provider(self.site, faults=FAULTS, latency_s=0.01, latency_sigma=1.0) as paid:
            while self.report.kills.total() < self.most:
                if not self._killed_several_times(paid):
                    break
            last = ended(self._start())
            while last.code == 70 and "as others did before it" in last.err:
                last = ended(self._start())
            self._look_at_the_end(last, paid)
        return self.report

    def _start(self) -> subprocess.Popen[str]:
        command = self.site.command("--processes", f"{WORKERS}", "--max-cost", f"{self.cap_usd}")
        return self.site.start(command=[sys.executable, "-c", SMALL_RANGES, *command[3:]])

    def _killed_several_times(self, paid: Provider) -> bool:
        """Kill parts of one command, the coordinator last; False when it ended before."""
        process = self._start()
        wanted = [self.moments.choice(TARGETS) for _ in range(KILLS_A_COMMAND - 1)] + ["coordinator"]
        try:
            for target in wanted:
                at = paid.calls + self.moments.randint(5, 60)
                wait_until(process, lambda least=at: paid.calls >= least)  # type: ignore[misc]
                if process.poll() is not None:
                    return False
                self._kill(target, process)
                self._look_at_the_bill(paid)
                if target == "coordinator":
                    break
        finally:
            process.kill()
            process.communicate()
            gone = time.monotonic() + 20
            while any(parts_of(self.site)) and time.monotonic() < gone:  # they end when nobody is left to work for
                time.sleep(0.02)
        self._look_at_the_bill(paid)
        return True

    def _kill(self, target: str, process: subprocess.Popen[str]) -> None:
        self._look_at_arguments(process.pid)
        pids = [process.pid] if target == "coordinator" else children(process.pid, target)
        if pids:
            os.kill(self.moments.choice(pids), signal.SIGKILL)
            self.report.kills[target.rpartition(".")[2]] += 1

    def _look_at_arguments(self, coordinator: int) -> None:
        """Whoever lists the processes of a machine sees neither key nor token."""
        for pid, parent, words in processes():
            if coordinator in (pid, parent):
                self.tokens |= tokens_of(pid)
                if any(secret in word for secret in (KEY, *self.tokens) for word in words):
                    self._violated(f"a secret is in the arguments {words}")

    def _look_at_files(self) -> None:
        secrets = [secret.encode() for secret in (KEY, *self.tokens)]
        for path in self.site.folder.rglob("*"):
            if path.is_file() and any(secret in path.read_bytes() for secret in secrets):
                self._violated(f"a secret is in {path}")

    def _look_at_calls(self, paid: Provider) -> None:
        """What was answered is asked again only where it was in flight when somebody was killed."""
        again, most = paid.stats["asked"]["after_an_answer"], self.report.kills.total() * CONCURRENCY
        if again > most:
            self._violated(f"{again} calls for what was answered, expected {most} at most")

    def _look_at_the_bill(self, paid: Provider) -> None:
        if (billed := billed_usd(paid)) > self.cap_usd:
            self._violated(f"billed {billed} of {self.cap_usd}")

    def _look_at_the_end(self, last: Ended, paid: Provider) -> None:
        self._look_at_the_bill(paid)
        self.report.most_of_the_cap = billed_usd(paid) / self.cap_usd
        if last.code not in (0, 4):
            self._violated(f"the last run ended with {last.code}: {last.said}")
            return
        self._look_at_what_is_told(billed_usd(paid))
        self._look_at_the_purse()
        self._look_at_calls(paid)
        self._look_at_files()
        self.report.finished += last.code == 0
        self.report.capped += last.code == 4
        logged = [record["dialogue_id"] for record in whole_records(self.site.responses)]
        if logged != [f"d{number}" for number in range(len(logged))] or (last.code == 0 and len(logged) != COUNT):
            self._violated(f"{len(logged)} dialogues are logged, or not in their order")

    def _look_at_what_is_told(self, billed: float) -> None:
        run = SavedRun(self.site.run_dir).summary["run"]
        spent, maybe = run["spent_usd"], run["maybe_billed_usd"]
        if not spent <= billed + NOTHING_USD or not billed <= spent + maybe + NOTHING_USD:
            self._violated(f"billed {billed}, and told are {spent} and perhaps {maybe} more")

    def _look_at_the_purse(self) -> None:
        """Where the cap has ended a run, all workers have said what they have spent, or their folders have. To count more than
        that would be to lose it."""
        path = self.site.run_dir / "fleet" / NAME
        if path.exists():
            run = SavedRun(self.site.run_dir).summary["run"]
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            settled = dollars(sum(line.get("settled", 0) for line in lines))
            self.report.lost_usd = max(self.report.lost_usd, settled - run["spent_usd"] - run["maybe_billed_usd"])

    def _violated(self, what: str) -> None:
        self.report.violations.append(f"{self.site.folder}: {what}")


def children(parent: int, module: str) -> list[int]:
    """The processes of this module that a process has started."""
    return [pid for pid, ppid, words in processes() if ppid == parent and module in words]


def tokens_of(pid: int) -> set[str]:
    """That of a broker stands in its environment, which only its owner can read."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return set()
    return {word.partition("=")[2] for word in words if word.startswith(f"{TOKEN}=")}


def parts_of(site: Site) -> Iterator[int]:
    """The workers and brokers of a run, whoever their parent is; those of other tests are not meant."""
    folder = str(site.run_dir)
    for pid, _, words in processes():
        if any(target in words for target in TARGETS[1:3]) and (folder in words or _works_for(pid, folder)):
            yield pid


def _works_for(pid: int, folder: str) -> bool:
    try:
        return any(str(link.readlink()).startswith(folder) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def processes() -> Iterator[tuple[int, int, list[str]]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
                ppid = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            yield int(path.name), ppid, words


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill parts of live runs at random moments and look at the bill.")
    parser.add_argument("--kills", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="other moments (default: 0)")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleet-storm-") as folder:
        report = storm(Path(folder), kills=args.kills, seed=args.seed)
    for violation in report.violations:
        print(f"VIOLATION {violation}")
    killed = ", ".join(f"{count} of {target}" for target, count in report.kills.most_common())
    print(f"{report.kills.total()} kills ({killed}); {report.finished} runs finished, {report.capped} ended at the cap")
    print(
        f"{report.most_of_the_cap:.0%} of the cap was billed at most; ${report.lost_usd:.6f} counted and were not spent"
    )
    print(f"{len(report.violations)} violations in {time.monotonic() - began:.0f} s")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
