"""The `task-kit` command: lists the tasks, shows what one asks for, and lays its files out in a folder.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.cli.main import BROKEN_PIPE, print_failure
from profiler.cli.parser import Parser
from profiler.core.errors import ProfilerError
from profiler.core.json import dump_pretty
from task_kit.stage import hashes, stage
from task_kit.task import TASKS, task_named

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

OK = 0


def main(argv: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except ProfilerError as error:
        return print_failure(error)
    return code


def build_parser() -> Parser:
    parser = Parser(prog="task-kit", description="The tasks: what a model is asked, and what it is given.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="the tasks there are")
    listing.set_defaults(run=list_tasks)
    showing = commands.add_parser("show", help="what a task asks for, and its files")
    showing.add_argument("task", metavar="TASK", help="the name of a task")
    showing.set_defaults(run=show_task)
    staging = commands.add_parser("stage", help="lay out exactly what a model may see of a task")
    staging.add_argument("task", metavar="TASK", help="the name of a task")
    staging.add_argument("folder", type=Path, metavar="DIR", help="an empty folder, or one that is not there yet")
    staging.add_argument(
        "--force", action="store_true", help="also into a folder with files: the task's are replaced, others stay"
    )
    staging.set_defaults(run=stage_task)
    for command in (listing, showing, staging):
        command.add_argument("--json", action="store_true", help="print JSON for programs instead of text")
    return parser


def list_tasks(args: Namespace) -> int:
    if args.json:
        return _print_json({"tasks": [{"name": task.name, "says": task.says} for task in TASKS.values()]})
    width = max(map(len, TASKS))
    for task in TASKS.values():
        print(f"{task.name:<{width}}  {task.says}")
    return OK


def show_task(args: Namespace) -> int:
    task = task_named(args.task)
    contents = task.contents()
    if args.json:
        files = hashes(contents)
        return _print_json({"name": task.name, "says": task.says, "prompt": task.prompt(), "files": files})
    print(f"{task.name}: {task.says}\n\nFiles that are staged:")
    for path, content in contents.items():
        print(f"  {len(content):>7,}  {path}")
    print(f"\n{task.prompt()}", end="")
    return OK


def stage_task(args: Namespace) -> int:
    staged = stage(task_named(args.task), args.folder, force=args.force)
    if staged.others:
        print(f"left as they are: {', '.join(staged.others)}", file=sys.stderr)
    if args.json:
        found = {"task": args.task, "folder": str(staged.folder), "files": staged.files, "others": staged.others}
        return _print_json(found)
    print(f"{args.task}: {len(staged.files)} files and their hashes are in {staged.folder}")
    return OK


def _print_json(value: dict[str, Any]) -> int:
    sys.stdout.write(dump_pretty(value).decode())
    return OK
