"""`python -m benchmarks`, or `make bench`: measures the engine, prints a table, and writes JSON on demand.

    make bench                                  everything, each side three times; --runs 1 takes about eight minutes
    make bench ARGS="--only 'mock*' --runs 7"   some of it, measured more often
    make bench ARGS="--json bench.json"         for programs
    make bench ARGS="--runs 5 --write"          with the largest sizes; written to benchmarks/RESULTS.md and README.md
    make bench-peers                            first, for the programs that the engine is compared with

Each scenario is one module of `benchmarks/scenarios/`; its docstring says what is measured, and why in that way. All of
them follow these rules:

- A claim about speed is a ratio. Both sides are measured in one run, in turn (A B A B …), each time in a fresh
interpreter. The table shows the median, with the least and the greatest beside it. Times alone say something about this
machine only.
- The engine is used as people use it: by `profiler.run` or the command line. A scenario that needs to see inside brings
a client, as anybody can; only `journal_cost` replaces a part of the engine.
- Over HTTP the other side is `profiler mock-server` on a core of its own. Answers are checked: a program that did other
work than it was asked to gets no figure.
- Times leave out the start of the interpreter and the imports, unless those are what is measured.
- A goal that is missed does not change the exit code, because a busy machine is not a bug.

Other work on the machine shows as a wide min – max, and in the load before and after. A new scenario is a new module
with `measure(scale) -> list[Figure]`, and a name in `benchmarks.scenarios.SCENARIOS` (in
`LONG` if it takes more than two minutes: then it is measured only when it is named).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine, report, results
from benchmarks.figure import Scale
from benchmarks.report import Report
from benchmarks.scenarios import LONG, SCENARIOS
from profiler.core.json import dump_pretty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figure import Figure, Scenario


def main(words: Sequence[str]) -> int:
    args = _parser().parse_args(words)
    asked = [each for each in (*SCENARIOS, *LONG) if any(fnmatchcase(name(each), glob) for glob in args.only or [])]
    chosen = asked if args.only else SCENARIOS
    if not chosen:
        print(f"no scenario has such a name; there are {', '.join(map(name, (*SCENARIOS, *LONG)))}", file=sys.stderr)
        return 2
    if args.write and (args.quick or args.only):
        print("--write wants a full run: leave out --quick and --only", file=sys.stderr)
        return 2
    facts = machine.facts()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        runs = args.runs or (1 if args.quick else 3)
        scale = Scale(folder=Path(folder), runs=runs, quick=args.quick, peers=not args.no_peers)
        found = {name(scenario): _measured(scenario, scale) for scenario in chosen}
    facts["load_after"] = machine.load()
    made = Report(found=found, machine=facts, quick=args.quick, words=scale.words)
    report.show(made, file=sys.stdout)
    if args.json:
        args.json.write_bytes(dump_pretty(report.as_json(made)))
    if args.write:
        results.write(made, words=["--runs", str(scale.runs), "--write"])
    return 0


def name(scenario: Scenario) -> str:
    return scenario.__name__.rpartition(".")[2]


def _measured(scenario: Scenario, scale: Scale) -> list[Figure]:
    print(f"{name(scenario)} …", end="", file=sys.stderr, flush=True)
    begun = time.perf_counter()
    figures = scenario.measure(scale)
    print(f" {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine.", allow_abbrev=False)
    parser.add_argument("--only", action="extend", nargs="+", metavar="GLOB", help="only scenarios of such names")
    parser.add_argument("--quick", action="store_true", help="sizes that only show that everything works")
    parser.add_argument("--runs", type=_at_least_one, metavar="N", help="measure each side N times (default: 3)")
    parser.add_argument("--no-peers", action="store_true", help="leave out the programs of .venv-peers")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md, and its head to README.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
