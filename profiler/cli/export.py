"""`profiler export`: a run as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark, say_unfinished
from profiler.core.errors import UsageError
from profiler.results.every_eval import export_every_eval
from profiler.results.export import FORMATS, STDOUT, export
from profiler.storage.reading.frozen_run import frozen
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from argparse import Namespace

EVERY_EVAL = "every-eval-ever"
ENDINGS = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".sqlite": "sqlite",
    ".db": "sqlite",
}


def write(args: Namespace) -> int:
    if args.to == EVERY_EVAL:
        return _write_every_eval(args)
    to = args.to or ENDINGS.get(Path(args.output).suffix.lower())
    if to is None:
        raise UsageError(f"{args.output}: which format is wanted?", hint=f"add --to with one of {', '.join(FORMATS)}")
    if args.raw and to != "csv":
        raise UsageError(f"--raw is for csv; {to} holds every text as it is")
    run = frozen(SavedRun(args.run))
    say_unfinished(run)
    number = export(
        run,
        args.output,
        to=to,
        raw=args.raw,
        texts=not args.no_texts,
        drop=tuple(args.drop),
        search_path=Path.cwd(),
    )
    texts = (
        "no text of a question or an answer is inside" if args.no_texts else "texts of questions and answers are inside"
    )
    remark(f"{number:,} rows written to {'stdout' if args.output == STDOUT else args.output}; {texts}")
    return 0


def _write_every_eval(args: Namespace) -> int:
    if args.drop or args.raw or args.output == STDOUT:
        flag = "--drop" if args.drop else "--raw" if args.raw else "-o -"
        raise UsageError(
            f"{flag} is for tables; {EVERY_EVAL} writes a folder of files of a fixed shape",
            hint="--no-texts leaves out what was asked and answered",
        )
    path, number = export_every_eval(
        SavedRun(args.run), Path(args.output), texts=not args.no_texts, search_path=Path.cwd()
    )
    beside = (
        "no text of a question or an answer is inside" if args.no_texts else f"{number:,} lines of answers beside it"
    )
    remark(f"{path} written; {beside}")
    return 0


COMMANDS = {"export": write}
