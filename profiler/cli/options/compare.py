"""What can be asked of `profiler compare`."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.cli.parser import Parser


def add_to(parser: Parser) -> None:
    parser.add_argument("base", metavar="BASE", help="the run directory that the others are compared with")
    parser.add_argument("new", nargs="+", metavar="NEW", help="a run over the same dialogues; may be several")
    parser.add_argument(
        "--margin",
        type=margin,
        action="append",
        default=[],
        metavar="METRIC=X",
        help="call a difference within ± X equivalent; of three runs and more, also name the cheapest that is not worse than "
        "the best by more; repeatable",
    )
    parser.add_argument(
        "--fail-if-worse",
        type=gate,
        action="append",
        default=[],
        metavar="METRIC[:X]",
        help="exit code 1 when a run is shown to be worse in this metric (by more than X); repeatable",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="with --fail-if-worse: exit code 5 when neither worse nor not worse is shown",
    )
    for way in ("higher", "lower"):
        parser.add_argument(
            f"--{way}-is-better",
            action="append",
            default=[],
            metavar="METRIC",
            help=f"a {way} value of this metric is better; it does not say so itself",
        )
    parser.add_argument(
        "--cluster-by",
        metavar="KEY",
        help="dialogues that share this metadata (a customer, a document) are not independent",
    )
    parser.add_argument(
        "--allow-different-prompts",
        action="store_true",
        help="pair dialogues by id alone, even where their prompts differ",
    )
    parser.add_argument("--by-tag", action="store_true", help="a line for every tag and metric, not only what is shown")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown, as for a comment on a pull request")
    form.add_argument("--json", action="store_true", help="print JSON for programs instead of text")
    parser.add_argument("--junit", metavar="FILE", help="also write the verdicts as JUnit XML")


def margin(text: str) -> tuple[str, float]:
    name, sign, number = text.rpartition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected METRIC=X such as fact_coverage=0.01")
    return name, _above_zero(number, text, least=1e-12)


def gate(text: str) -> tuple[str, float]:
    name, sign, number = text.rpartition(":")
    return (name, _above_zero(number, text, least=0.0)) if sign else (text, 0.0)


def _above_zero(number: str, text: str, *, least: float) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not least <= value <= 1e12:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of at least {least:g} after the metric")
    return value
