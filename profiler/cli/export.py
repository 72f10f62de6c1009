"""`profiler export`: a run as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark
from profiler.core.errors import UsageError
from profiler.results.export import FORMATS, STDOUT, export
from profiler.storage.saved_run import SavedRun

if TYPE_CHECKING:
    from argparse import Namespace

ENDINGS = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".sqlite": "sqlite",
    ".db": "sqlite",
}


def write(args: Namespace) -> int:
    to = args.to or ENDINGS.get(Path(args.output).suffix.lower())
    if to is None:
        raise UsageError(f"{args.output}: which format is wanted?", hint=f"add --to with one of {', '.join(FORMATS)}")
    if args.raw and to != "csv":
        raise UsageError(f"--raw is for csv; {to} holds every text as it is")
    number = export(
        SavedRun(args.run),
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


COMMANDS = {"export": write}
