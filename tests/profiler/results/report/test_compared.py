"""A report of several runs joins and compares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.results.report.making import failure, item, make_run
from tests.profiler.results.report.written import blocks, everything, write

if TYPE_CHECKING:
    from pathlib import Path


def test_runs_in_another_order_are_joined_by_dialogue(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", [item(i, f"first {i}", dialogue_id=f"x{i}") for i in range(5)])
    wanted = [3, 0, 9, 4, 1]
    second = make_run(
        tmp_path / "b", [item(place, f"second {i}", dialogue_id=f"x{i}") for place, i in enumerate(wanted)]
    )

    write(tmp_path / "r.html", first, second)

    found = blocks(tmp_path / "r.html")
    assert found["columns"]["ids"] == ["x0", "x1", "x2", "x3", "x4", "x9"]
    one, two = found["texts"][0]
    assert (one["absent"], two["absent"]) == ([5], [2])
    assert two["got"]["each"]["completion"] == ["second 0", "second 1", None, "second 3", "second 4", "second 9"]


def test_what_changed_between_two_runs_is_told(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"asked_expected": "yes"}
    before = [item(0, "yes", **asked), item(1, "no", **asked), item(2, "yes", **asked), item(3, "yes", **asked)]
    after = [item(0, "no", **asked), item(1, "yes", **asked), failure(2, "no", **asked), item(3, "yes", **asked)]

    write(tmp_path / "r.html", make_run(tmp_path / "a", before), make_run(tmp_path / "b", after))

    columns = blocks(tmp_path / "r.html")["columns"]
    assert [columns["changes"][each] for each in columns["change"][0]] == [
        "right → wrong",
        "wrong → right",
        "became an error",
        "",
    ]


def test_several_runs_are_compared_as_compare_does(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"asked_expected": "yes", "asked_tags": ["TAG_7"]}
    base = make_run(tmp_path / "a", [item(i, "yes" if i % 2 else "no", **asked) for i in range(60)])
    new = make_run(tmp_path / "b", [item(i, "yes", **asked) for i in range(60)])

    write(tmp_path / "r.html", base, new)
    write(tmp_path / "less.html", base, new, drop=["tags", "exact_match"])

    told = blocks(tmp_path / "r.html")["facts"]["comparison"]
    same = msgspec.to_builtins(compare(SavedRun(base), [SavedRun(new)], Question()))
    [shown], [expected] = told["against"], same["against"]
    assert [each["verdict"] for each in shown["comparisons"]] == [each["verdict"] for each in expected["comparisons"]]
    assert {each["metric"]: each["verdict"] for each in shown["comparisons"]}["exact_match"] == "better"
    assert {each["tag"] for each in shown["slices"]} == {"TAG_7"}
    assert str(tmp_path) not in everything(tmp_path / "r.html")
    assert "TAG_7" not in everything(tmp_path / "less.html")
    [less] = blocks(tmp_path / "less.html")["facts"]["comparison"]["against"]
    assert "exact_match" not in {each["metric"] for each in less["comparisons"]}


def test_runs_that_cannot_be_compared_are_shown_with_the_reason(tmp_path: Path) -> None:
    base = make_run(tmp_path / "a", [item(0, asked_prompt={"user": "one"})])
    new = make_run(tmp_path / "b", [item(0, asked_prompt={"user": "another"})])

    write(tmp_path / "r.html", base, new)

    assert "asked different questions" in blocks(tmp_path / "r.html")["facts"]["not_compared"]
