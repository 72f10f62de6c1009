"""`grader grade`: what can be asked, and how the result is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from grader.cli import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("grade", help="grade one submission, or many", description="Grade a submission.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return 2
