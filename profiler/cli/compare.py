"""The command `compare`: which of two or more runs is better, by how much, and whether that is more than chance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.cli import table
from profiler.cli.comparing.junit import junit
from profiler.cli.comparing.markdown import markdown
from profiler.cli.comparing.table import tables
from profiler.cli.output import print_json
from profiler.core.errors import UsageError
from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.reading.saved_run import SavedRun
from profiler.storage.whole_file import spare_runs, write_whole

if TYPE_CHECKING:
    from argparse import Namespace

    from profiler.metrics.metric import Better

CODES: Final = {"ok": 0, "worse": 1, "undecided": 0}
UNDECIDED: Final = 5


def compare_runs(args: Namespace) -> int:
    if args.strict and not args.fail_if_worse:
        raise UsageError("--strict is about what --fail-if-worse leaves undecided", hint="add --fail-if-worse METRIC")
    if args.junit:
        spare_runs(Path(args.junit))
    findings = compare(SavedRun(args.base), [SavedRun(each) for each in args.new], _question(args))
    if args.json:
        print_json(msgspec.to_builtins(findings))
    elif args.markdown:
        sys.stdout.write(markdown(findings, by_tag=args.by_tag))
    else:
        table.draw(list(tables(findings, by_tag=args.by_tag)), file=sys.stdout)
    if args.junit:
        write_whole(Path(args.junit), junit(findings, strict=args.strict))
    return UNDECIDED if args.strict and findings.state == "undecided" else CODES[findings.state]


def _question(args: Namespace) -> Question:
    better: dict[str, Better] = {
        **dict.fromkeys(args.higher_is_better, "higher"),
        **dict.fromkeys(args.lower_is_better, "lower"),
    }
    if both := sorted({*args.higher_is_better} & {*args.lower_is_better}):
        raise UsageError(f"{both[0]} cannot be better both higher and lower", hint="give one of the two")
    return Question(
        margins=dict(args.margin),
        fail_if_worse=dict(args.fail_if_worse),
        better=better,
        cluster_by=args.cluster_by,
        allow_different_prompts=args.allow_different_prompts,
        search_path=Path.cwd(),
    )


COMMANDS: Final = {"compare": compare_runs}
