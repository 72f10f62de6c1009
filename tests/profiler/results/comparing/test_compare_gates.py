"""Gates on what must not be worse, and which of several runs to take."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import UsageError
from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.results.comparing.asking import HIGHER, compared, flags
from tests.profiler.results.comparing.folders import item, write_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("true", "margin", "state"),
    [
        (300, 0.0, "worse"),
        (300, 0.3, "ok"),
        (395, 0.1, "ok"),
        (395, 0.0, "undecided"),
        (400, 0.0, "ok"),
        (300, 0.21, "undecided"),
    ],
)
def test_a_gate_says_worse_not_worse_or_undecided(tmp_path: Path, true: int, margin: float, state: str) -> None:
    findings = compared(tmp_path, flags(500, 400), flags(500, true), fail_if_worse={"right": margin})

    assert findings.state == state


def test_a_gate_on_what_should_be_low_looks_the_other_way(tmp_path: Path) -> None:
    base = [item(number, latency_s=1.0 + number % 7 / 10) for number in range(50)]
    new = [item(number, latency_s=1.5 + number % 5 / 10) for number in range(50)]
    runs = write_run(tmp_path / "base", base), write_run(tmp_path / "new", new)

    assert compare(runs[0], [runs[1]], Question(fail_if_worse={"latency_s": 0.1})).state == "worse"
    assert compare(runs[1], [runs[0]], Question(fail_if_worse={"latency_s": 0.1})).state == "ok"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"margins": {"rihgt": 0.1}}, "--margin: the runs have no scores of 'rihgt'"),
        ({"fail_if_worse": {"refusal_rate": 0.0}}, "does not say which way is better"),
        ({"fail_if_worse": {"completion_rate": 0.0}}, "completion_rate is compared as error_rate"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, question: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compared(tmp_path, flags(10, 5), flags(10, 5), **question)


def three(tmp_path: Path) -> list[SavedRun]:
    """The best, one nearly as good for a tenth of the money, and one that is much worse and cheaper still."""
    source = random.Random(8)
    hard = [source.random() for _ in range(600)]
    sides = {"best": (0.90, 0.010), "near": (0.895, 0.001), "poor": (0.60, 0.0005)}
    return [
        write_run(
            tmp_path / name,
            [
                item(at, scores={"right": each < rate}, cost_usd=cost * (1 + at % 3 / 10), latency_s=1.0 + at % 5 / 10)
                for at, each in enumerate(hard)
            ],
        )
        for name, (rate, cost) in sides.items()
    ]


def test_of_three_the_cheapest_that_is_not_worse_by_more_than_the_margin_is_told(tmp_path: Path) -> None:
    runs = three(tmp_path)
    (found,) = compare(runs[0], runs[1:], Question(better=HIGHER, margins={"right": 0.03})).cheapest

    assert (found.best, found.cheapest) == ("best", "near")
    assert {each.run: each.not_worse for each in found.candidates} == {"best": True, "near": True, "poor": False}
    (strict,) = compare(runs[0], runs[1:], Question(better=HIGHER, margins={"right": 0.0001})).cheapest
    assert strict.cheapest == "best"


def test_a_run_that_another_beats_everywhere_need_not_be_taken(tmp_path: Path) -> None:
    runs = three(tmp_path)
    dear = write_run(
        tmp_path / "dear", [item(at, scores={"right": at % 2 == 0}, cost_usd=0.5, latency_s=3.0) for at in range(600)]
    )
    findings = compare(runs[0], [*runs[1:], dear], Question(better=HIGHER))

    assert [each.run for each in findings.dominated] == ["dear"]
