"""The command `report`: one or several runs as one HTML file."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark, say_unfinished
from profiler.core.errors import UsageError
from profiler.results.comparing.findings import Question
from profiler.results.report.privacy import Privacy
from profiler.results.report.write import write_report
from profiler.storage.reading.frozen_run import frozen
from profiler.storage.reading.saved_run import SavedRun
from profiler.storage.whole_file import spare_runs

if TYPE_CHECKING:
    from argparse import Namespace

OK = 0


def report(args: Namespace) -> int:
    path = Path(args.output)
    if path.is_dir():
        raise UsageError(f"{path}: found a folder, expected the name of a file", hint=f"-o {path / 'report.html'}")
    spare_runs(path)
    privacy = Privacy(texts=not args.no_texts, drop=args.drop, environ=os.environ)
    runs = [frozen(SavedRun(each)) for each in args.run]
    for run in runs:
        say_unfinished(run)
    question = Question(
        margins=dict(args.margin),
        allow_different_prompts=args.allow_different_prompts,
        search_path=Path.cwd(),
    )
    written = write_report(runs, path, privacy=privacy, question=question)
    texts = "their texts are inside" if written.texts else "without any text of theirs"
    remark(f"{written.shown:,} of {written.rows:,} dialogues are in the file, {texts}")
    print(f"Report written to {path}")
    if args.open:
        webbrowser.open(path.resolve().as_uri())
    return OK


COMMANDS = {"report": report}
