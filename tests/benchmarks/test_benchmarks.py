"""That the benchmarks measure and say what they promise; how fast the engine is, is not asked here."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from benchmarks.__main__ import name
from benchmarks.figure import PATIENT, Figure, Scale, alternate, median, ratios
from benchmarks.process import ChildFailed, fresh
from benchmarks.report import number
from benchmarks.scenarios import LONG, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]

HERE = [name(each) for each in SCENARIOS if not name(each).startswith("http_")]  # the others: test_http_scenarios.py
LENGTHY = [
    *("journal_cost", "latency_bound", "processes", "memory", "mock_server", "episodes"),
    *map(name, LONG),
]
SHORT = [each for each in HERE if each not in LENGTHY]
GOALS = {
    "start_up.help": "≤ 100",
    "start_up.sample_run": "≤ 350",
    "start_up.live_first_request": "≤ 400",
    "start_up.imports_of_sdk": "≤ 0",
    "journal_cost.cost_in_order": "≤ 0.150",
    "journal_cost.cost_out_of_order": "≤ 0.150",
    "latency_bound.of_limit_1000_workers": "≥ 0.970",
    "latency_bound.of_limit_100_workers": "≥ 0.970",
    "processes.mock_two_by_one": "≥ 1.700",
    "processes.peak": "≤ 200",
    "processes.start": "≤ 0.400",
    "straggler.stalled_by_plain": "≥ 0.950",
    "reduction.reduce_logs": "≥ 100,000",
    "memory.growth": "≤ 1.150",
    "memory.growth_stalled": "≤ 1.150",
    "memory.peak": "≤ 150",
    "memory.peak_stalled": "≤ 150",
    "resume.first_call": "≤ 5",
    "resume.first_call_stalled": "≤ 5",
    "large_fleet.coordinator_peak": "≤ 200",
    "large_fleet.first_call": "≤ 30",
    "mock_server.static_by_asyncio": "≥ 0.600",
    "mock_server.full_by_asyncio": "≥ 0.600",
    "mock_server.full_no_journal_by_asyncio": "≥ 0.600",
    "mock_server.growth": "≤ 1.150",
}


class Measured(NamedTuple):
    scenarios: list[str]
    table: str
    figures: dict[str, dict[str, Any]]
    machine: dict[str, Any]


def benchmarks(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module", params=[SHORT, pytest.param(LENGTHY, marks=pytest.mark.long)], ids=["short", "lengthy"])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    ended = benchmarks("--quick", "--json", str(path), "--only", *request.param)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(path.read_bytes())
    figures = {f"{figure['scenario']}.{figure['name']}": figure for figure in found["figures"]}
    return Measured(request.param, ended.stdout, figures, found["machine"])


@pytest.mark.slow
def test_every_goal_of_the_engine_is_measured(measured: Measured) -> None:
    goals = {key: goal for key, goal in GOALS.items() if key.split(".")[0] in measured.scenarios}
    assert {key: measured.figures[key]["goal"] for key in goals} == goals


@pytest.mark.slow
def test_every_scenario_gives_numbers(measured: Measured) -> None:
    values = [figure["value"] for figure in measured.figures.values()]

    assert {figure["scenario"] for figure in measured.figures.values()} == set(measured.scenarios)
    assert all(map(math.isfinite, values))


@pytest.mark.slow
def test_small_sizes_are_not_held_against_the_goals(measured: Measured) -> None:
    assert {figure["met"] for figure in measured.figures.values()} == {None}


@pytest.mark.slow
def test_neither_command_imports_the_sdk(measured: Measured) -> None:
    assert measured.figures.get("start_up.imports_of_sdk", {"value": 0})["value"] == 0


@pytest.mark.slow
def test_the_table_begins_with_how_to_read_it(measured: Measured) -> None:
    assert measured.table.startswith("These are this machine's figures, on this day. Compare ratios")


@pytest.mark.slow
def test_the_table_shows_every_figure(measured: Measured) -> None:
    rows = [line.split()[:2] for line in measured.table.splitlines() if "  " in line]

    assert [key.split(".") for key in measured.figures] == rows[1:]


@pytest.mark.slow
def test_the_machine_is_described(measured: Measured) -> None:
    assert measured.machine["cores"] >= 1
    assert {"cpu", "python", "packages", "load", "load_after"} <= measured.machine.keys()


def test_a_document_is_not_written_from_half_a_run() -> None:
    ended = benchmarks("--quick", "--write")

    assert ended.returncode == 2
    assert "--write wants a full run" in ended.stderr


def test_a_name_that_no_scenario_has_is_refused() -> None:
    ended = benchmarks("--only", "nothing*")

    assert ended.returncode == 2
    assert "there are start_up, " in ended.stderr


def test_nothing_is_measured_no_times() -> None:
    assert benchmarks("--runs", "0").returncode == 2


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure(name="x", value=1.0), None),
        (Figure(name="x", value=1.0, at_least=1.0), True),
        (Figure(name="x", value=0.9, at_least=1.0), False),
        (Figure(name="x", value=1.0, at_most=1.0), True),
        (Figure(name="x", value=1.1, at_most=1.0), False),
        (Figure(name="x", value=1.1, at_least=1.0, at_most=2.0), True),
        (Figure(name="x", value=2.1, at_least=1.0, at_most=2.0), False),
    ],
)
def test_a_goal_is_met_on_its_side(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_a_median_keeps_the_least_and_the_greatest() -> None:
    figure = median("x", [3.0, 1.0, 2.0])

    assert (figure.value, figure.low, figure.high) == (2.0, 1.0, 3.0)


def test_sides_are_measured_in_turn() -> None:
    order: list[str] = []

    def side(called: str) -> Callable[[], int]:
        def measure() -> int:
            order.append(called)
            return len(order)

        return measure

    assert alternate(2, side("a"), side("b")) == [(1, 3), (2, 4)]
    assert order == ["a", "b", "a", "b"]


def test_a_ratio_is_of_neighbours() -> None:
    assert ratios([6.0, 8.0], [3.0, 2.0]) == [2.0, 4.0]


def test_a_function_is_called_in_another_process() -> None:
    ended = fresh(number, value=1234.0)

    assert ended.value == "1,234"
    assert ended.peak_mb > 1


def test_a_function_that_raises_there_is_no_figure(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildFailed, match="number ended with exit code 1"):
        fresh(number, value="none")
    assert "ValueError: invalid literal" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("runs", "quick", "size"),
    [(1, False, 200), (PATIENT - 1, False, 200), (PATIENT, False, 1000), (PATIENT, True, 2), (1, True, 2)],
)
def test_the_largest_sizes_are_for_those_who_have_patience(runs: int, quick: bool, size: int, tmp_path: Path) -> None:
    scale = Scale(folder=tmp_path, runs=runs, quick=quick)
    assert scale.pick(1000, usual=200, quick=2) == size
    assert scale.pick(1000, quick=2) == (2 if quick else 1000)
