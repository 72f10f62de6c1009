"""Writes the files that hold captured output: `make docs`. Tests compare the files with what the programs print now.

docs/cli.md has one section a command in the order in which `--help` lists them, docs/SAMPLE_RESULTS.md what the sample
and the sweep print, profiler/money/frozen_prices.json what the installed genai-prices says of every model of Anthropic.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import genai_prices
import msgspec
from anthropic.types import model as sdk_models
from genai_prices import data_snapshot, types

from profiler.core.json import encode
from profiler.money.price_list import FROZEN, PROVIDER, Dated, library_card

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
CLI = ROOT / "docs" / "cli.md"
RESULTS = ROOT / "docs" / "SAMPLE_RESULTS.md"

CLI_INTRODUCTION = """\
# Command line

What `--help` says, written by `make docs`. `python -m profiler` is the same as `profiler`.
"""

RESULTS_INTRODUCTION = """\
# Sample results

What the two manifests of this repository print in mock mode, written by `make docs` and compared with a real run by a
test. The mock is deterministic, so every machine prints the same.
"""

SAMPLE = "configs/sample_experiment.yaml"
SWEEP = "configs/sweep.yaml"


def cli_reference() -> str:
    overview = said_by("--help")
    return "\n".join(
        [CLI_INTRODUCTION, section("profiler --help", overview), *map(command_section, commands(overview))]
    )


def command_section(command: str) -> str:
    return section(f"profiler {command} --help", said_by(command, "--help"))


def commands(overview: str) -> list[str]:
    """The first word of each line under the list of commands."""
    listed = overview.partition("COMMAND\n")[2].partition("\n\n")[0]
    return re.findall(r"^ {4}([a-z][a-z-]*)", listed, flags=re.MULTILINE)


def sample_results() -> str:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        sections = [
            captured(runs, "run", "--config", SAMPLE, "--output-dir", "runs", "--mode", "mock"),
            captured(runs, "summarize", "--log-dir", "runs/demo_run"),
            captured(runs, "run", "--config", SWEEP, "--output-dir", "runs", "--mode", "mock"),
            captured(runs, "summarize", "--log-dir", "runs/" + first_of_sweep(runs), "--by-tag"),
        ]
    return "\n".join([RESULTS_INTRODUCTION, *sections])


def first_of_sweep(runs: Path) -> str:
    return min(path.name for path in runs.glob("sweep*"))


def captured(runs: Path, *words: str) -> str:
    """A command and its standard output, with the temporary folder called `runs`."""
    given = [word.replace("runs", str(runs), 1) if word.startswith("runs") else word for word in words]
    said = said_by(*given).replace(str(runs), "runs")
    return section("profiler " + " ".join(words), said)


def section(title: str, text: str) -> str:
    return f"## `{title}`\n\n```text\n{text.strip()}\n```\n"


def said_by(*command: str) -> str:
    """At a fixed width and without colour, so that every machine writes the same text."""
    return subprocess.run(
        [sys.executable, "-m", "profiler", *command],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHON_COLORS": "0"},
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout


def frozen_prices() -> bytes:
    """One line a model: those of the library and of the SDK, in the library's words."""
    [provider] = [each for each in data_snapshot.get_snapshot().providers if each.id == PROVIDER]
    days = sorted(set(days_of_change(provider.models)))
    names = {model.id for model in provider.models} | set(get_args(get_args(sdk_models.Model)[0]))
    cards = {name: found for name in sorted(names) if (found := dated_cards(name, days))}
    lines = b",\n".join(b"%b: %b" % (encode(name), encode(found)) for name, found in cards.items())
    return b'{"genai_prices": %b, "models": {\n%b\n}}\n' % (encode(genai_prices.__version__), lines)


def dated_cards(name: str, days: list[date]) -> list[Dated]:
    """Without the days on which nothing changes for this model."""
    found: list[Dated] = []
    for day in (None, *days):
        at = datetime.combine(day or date(2000, 1, 1), time(12), tzinfo=UTC)
        card = library_card(name, at=at)
        card = card and msgspec.structs.replace(card, day=None)
        if card is not None and (not found or found[-1].card != card):
            found.append(Dated(since=day.isoformat() if day else None, card=card))
    return found


def days_of_change(value: object) -> Iterator[date]:
    """Every day on which a price of the library changes, wherever in its tables that stands."""
    match value:
        case types.StartDateConstraint():
            yield value.start_date
        case types.TimeOfDateConstraint():
            raise NotImplementedError("prices that change by the hour cannot be frozen by the day")
        case list() | tuple():
            for each in value:
                yield from days_of_change(each)
        case dict():
            yield from days_of_change(list(value.values()))
        case _ if dataclasses.is_dataclass(value):
            yield from days_of_change([getattr(value, field.name) for field in dataclasses.fields(value)])
        case _:
            return


if __name__ == "__main__":
    FROZEN.write_bytes(frozen_prices())
    CLI.write_text(cli_reference(), encoding="utf-8")
    RESULTS.write_text(sample_results(), encoding="utf-8")
