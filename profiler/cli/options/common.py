"""The options that several commands have, and how a command is added to the parser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from profiler.cli.options.values import share

if TYPE_CHECKING:
    from profiler.cli.parser import Parser

    Commands = argparse._SubParsersAction[Parser]  # noqa: SLF001 (argparse has no public name for it)


def command(commands: Commands, name: str, summary: str, detail: str = "") -> Parser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {detail}".strip(),
        formatter_class=_wide,
        allow_abbrev=False,
    )


def _wide(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=30)


def add_output_dir(parser: Parser, said: str) -> None:
    parser.add_argument("--output-dir", default="runs", metavar="DIR", help=f"{said} (default: runs)")


def add_config(parser: Parser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="the manifest (YAML)")


def add_select(parser: Parser) -> None:
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="GLOB",
        help="only experiments whose id matches, as in '*haiku*'; repeatable",
    )


def add_fail_on_errors(parser: Parser) -> None:
    parser.add_argument(
        "--fail-on-errors",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="exit code 1 when more than this share of the dialogues failed (default: 1.0, never)",
    )


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text")


def add_output(parser: Parser) -> None:
    add_json(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no remarks; errors still show")
