"""`grader audit`: its options, and how the report is shown."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.cli.audit_table import ASCII, UNICODE, lines
from grader.cli.run import LEVELS
from grader.experiment_profiler.audit.audit import Report, audit, chosen
from grader.experiment_profiler.audit.corpus.entries import Corpus, CorpusError, load_all
from profiler.cli.options.values import at_least_one
from task_kit.sandbox import SandboxError

if TYPE_CHECKING:
    import argparse

    from grader.cli.main import Commands
    from grader.experiment_profiler.audit.corpus.entries import Entry
    from grader.experiment_profiler.audit.trial import Trial

PROBLEMS, ERROR = 1, 2


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "audit",
        help="test the grader on submissions whose verdict is known",
        description="Grade the cheats, the honest submissions and the broken references, and try to get out of the "
        "box. Exits with 1 when a cheat passes or fails for another reason than it names, an honest submission fails, "
        "fewer than 95 % of the broken references are caught, or an escape succeeds.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="entries, as cheats/loot/*; repeatable"
    )
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="cheats/*.toml, honest/*.toml and mutants/*.toml of your own instead"
    )
    parser.add_argument("--seed", metavar="TEXT", help="repeat an audit (default: a fresh one)")
    parser.add_argument(
        "--rounds", type=at_least_one, default=1, metavar="N", help="grade each N times, with another seed each"
    )
    parser.add_argument(
        "--jobs",
        type=at_least_one,
        default=2 * (os.cpu_count() or 1),  # many a cheat sleeps until its time is up
        metavar="N",
        help="gradings at once (default: two for each core)",
    )
    parser.add_argument(
        "--isolation",
        choices=LEVELS,
        metavar="LEVEL",
        help="use this level instead of the strongest that holds here",
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--verbose", action="store_true", help="a row for each entry instead of each kind")
    parser.set_defaults(run=run)


def _chosen(args: argparse.Namespace) -> tuple[Entry, ...]:
    entries = chosen(load_all(root=args.corpus), args.only)
    if not entries:
        raise CorpusError("found no entry to grade, expected names like cheats/loot/password_file")
    return entries


def run(args: argparse.Namespace) -> int:
    try:
        entries = _chosen(args)
        report = audit(
            entries,
            seed=args.seed,
            rounds=args.rounds,
            jobs=args.jobs,
            isolation=args.isolation,
            told=_progress(),
        )
    except (CorpusError, SandboxError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    if args.json:
        print(json.dumps(as_dict(report), ensure_ascii=False, indent=1))
    else:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        print("\n".join(lines(report, verbose=args.verbose, marks=UNICODE if unicode else ASCII)))
    return PROBLEMS if report.problems() else 0


def _progress() -> Any:
    """Shows, on a terminal, how many trials are done."""
    done = 0

    def tell(trial: Trial) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            print(f"\r{done} {trial.entry.corpus}/{trial.entry.name}\x1b[K", end="\r", file=sys.stderr, flush=True)

    return tell


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain values for JSON."""
    return {
        "ok": not report.problems(),
        "problems": list(report.problems()),
        "level": report.level,
        "seed": report.seed,
        "rounds": report.rounds,
        "mutation_score": report.score(),
        "survivors": report.survivors(),
        **{corpus.value: [_trial(trial) for trial in report.of(corpus)] for corpus in Corpus},
        "probes": [asdict(probe) for probe in report.probes],
        "left_out": list(report.left_out),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "name": trial.entry.name,
        "kind": trial.entry.kind,
        "seed": trial.seed,
        "status": trial.status,
        "reasons": list(trial.reasons),
        "reward": trial.reward,
        "expected": list(trial.entry.reasons),
        "problem": trial.problem,
    }
