"""The prompt promises what the code holds: names, limits, reason codes. Each is read out of the text itself."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import yaml

from grader.experiment_profiler.boxes import submission
from grader.experiment_profiler.boxes.box import PACKAGES
from grader.experiment_profiler.grading import boxed
from grader.experiment_profiler.grading.grade import TIMEOUT_S
from grader.experiment_profiler.judging import checks, strict
from grader.experiment_profiler.judging.artifacts import COVERAGE
from grader.experiment_profiler.judging.reasons import NOT_REACHED, REASONS
from reference_submission.experiment_profiler.config import FIELDS, ExperimentConfig
from reference_submission.experiment_profiler.storage import Artifacts
from task_kit.sandbox import Limits, confine
from task_kit.task import TASKS
from tests.task_kit.staging import SAMPLE
from tools.metrics import METRICS, TYPES

ROOT = Path(__file__).resolve().parents[3]
PROMPT = TASKS["experiment_profiler"].prompt()
CODE = re.compile(r"`([^`]+)`")


def section(title: str) -> str:
    _, found, rest = PROMPT.partition(f"## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def first_column(title: str) -> set[str]:
    """What stands in backticks in the first cell of each row of a section's table."""
    rows = [line for line in section(title).splitlines() if line.startswith("|")]
    return {name for row in rows for name in CODE.findall(row.split("|")[1])}


def test_it_explains_every_key_of_a_manifest() -> None:
    manifest = yaml.safe_load((ROOT / SAMPLE).read_bytes())

    told = {key.partition(".")[0] for key in first_column("What it is given")}
    assert told == manifest.keys()


def test_it_names_every_attribute_of_the_interface() -> None:
    told = set(CODE.findall(section("What it must offer")))

    assert {field.name for field in fields(ExperimentConfig)} <= told
    assert {f".{field.name}" for field in fields(Artifacts)} <= told


def test_it_defines_every_metric_and_every_type() -> None:
    told = section("The metrics")

    assert re.findall(r"^\* `(\w+)`", told, re.MULTILINE) == list(METRICS)
    assert set(TYPES) <= set(CODE.findall(told))


def test_it_names_every_output_field() -> None:
    assert [field for field in FIELDS if f"`{field}`" not in section("What it is given")] == []


def test_it_says_where_the_gaps_are() -> None:
    contents = TASKS["experiment_profiler"].contents()
    gaps = {path.rpartition("/")[2] for path, text in contents.items() if path.endswith(".py") and b"# TODO" in text}

    (sentence,) = re.findall(r"What is missing is marked.*?\.\s+`config", PROMPT, re.DOTALL)
    assert {name.rpartition("/")[2] for name in CODE.findall(sentence)} - {"TODO"} == gaps


def test_it_lists_the_reason_codes_of_the_grader_and_no_others() -> None:
    assert first_column("How it is checked") == set(REASONS) - {NOT_REACHED}
    assert f"`{NOT_REACHED}`" in section("How it is checked")


def test_the_files_it_speaks_of_are_allowed() -> None:
    assert 4000 <= confine.most_files(Limits().disk_bytes) < 4100


def test_it_tells_the_limits_of_a_process() -> None:
    limits = Limits()

    told = " ".join(re.sub(r"\[\d+\] ", "", section("Where it runs")).split())
    for said in (
        f"Each process has {boxed.CPU_S:.0f} s of CPU time and {TIMEOUT_S:.0f} s of time",
        f"All processes of a grading together have {boxed.ALL_CPU_S:.0f} s of CPU time and {boxed.ALL_WALL_S:.0f} s of time",
        f"{limits.memory_bytes >> 20} MiB of memory, what waits in sockets included, and at most {limits.processes} processes",
        f"files of at most {limits.file_bytes >> 20} MiB, {limits.disk_bytes >> 20} MiB and 4,000 files on disk",
        f"{boxed.OUTPUT_BYTES >> 10} KiB of output",
    ):
        assert said in told


def test_it_tells_the_limits_of_a_file() -> None:
    (told,) = (line for line in PROMPT.splitlines() if line.startswith("| `bad_artifact`"))

    for said in (
        f"larger than {strict.FILE_LIMIT >> 20} MiB, {strict.LINES_LIMIT:,} lines, {strict.TEXT_LIMIT >> 10} KiB a line",
        f"nested deeper than {strict.DEPTH_LIMIT}",
        f"more than {strict.DIGITS_LIMIT} digits",
    ):
        assert said in told


def test_it_tells_the_limits_of_a_folder() -> None:
    assert (
        f"more than {submission.ENTRIES_LIMIT:,} files and folders, {submission.BYTES_LIMIT >> 20} MiB, "
        f"{submission.DEPTH_LIMIT} folders deep or a path of {submission.PATH_LIMIT:,} bytes"
    ) in PROMPT


def test_it_tells_the_tolerance_and_the_coverage() -> None:
    (tolerance,) = re.findall(r"differs by more than (\S+) from the true one", PROMPT)
    assert f"by at most {tolerance}." in PROMPT
    (coverage,) = re.findall(r"holds less than (\S+) of its facts", PROMPT)

    assert (float(tolerance), float(coverage)) == (checks.TOLERANCE, COVERAGE)


def test_it_lists_the_packages_that_are_there() -> None:
    (sentence,) = re.findall(r"Python is 3\.11 or newer.*?\.\n", PROMPT, re.DOTALL)

    assert set(CODE.findall(sentence)) == set(PACKAGES)
