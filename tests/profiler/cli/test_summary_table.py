from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import Any

import pytest

from profiler.cli import summary_table, table
from profiler.core.nouns import Failure, Outcome
from profiler.metrics import summary
from profiler.metrics.builtin import BUILTIN
from profiler.metrics.reduction import reduce_outcomes

OUTCOMES = (
    Outcome(
        dialogue_id="a", type="answer", completion="Paris", required_facts=("paris",), tags=("z", "b"), latency_s=0.5
    ),
    Outcome(dialogue_id="b", type="answer", completion="x y", required_facts=("x", "y", "z"), cost_usd=0.1, attempts=2),
    Outcome(dialogue_id="c", type="refusal", completion="No.", usage={"input_tokens": 7, "output_tokens": 3}),
)
FAILED = Outcome(dialogue_id="e", type="error", error=Failure(type="timeout", message=""))


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def built(*outcomes: Outcome, name: str = "demo_run", mode: str = "mock") -> dict[str, Any]:
    return summary.build(reduce_outcomes(outcomes, tuple(BUILTIN.values())), {"experiment_id": name, "mode": mode})


def drawn(*summaries: dict[str, Any], encoding: str = "utf-8", terminal: bool = False, **options: Any) -> str:
    raw = io.BytesIO()
    file = (Terminal if terminal else io.TextIOWrapper)(raw, encoding=encoding)
    summary_table.render(summaries, file=file, **options)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_one_experiment_is_titled_with_its_name_and_mode() -> None:
    lines = drawn(built(*OUTCOMES, FAILED)).splitlines()
    assert lines[0] == "Experiment Metrics (demo_run)"
    assert lines[1].startswith("MODE: MOCK")
    assert ["fact_coverage", "0.8889", "0.4108", "..", "1.0000", "3"] in [line.split() for line in lines]
    assert "dialogues 4: answer 2, refusal 1, truncated 0, error 1 (timeout 1)" in lines
    assert "cost $0.1000 + 3 unknown" in lines


def test_several_experiments_share_one_table() -> None:
    text = drawn(built(*OUTCOMES, name="one"), built(name="two", mode="live"))
    assert text.startswith("Experiment Metrics (2 experiments)\nMODE: MIXED")
    rows = [line.split() for line in text.splitlines()]
    assert ["one", "MOCK", "0.8889", "0.3333", "1.0000", "0.7698", "-", "3"] in [row[:8] for row in rows]
    assert ["two", "LIVE", "-", "-", "-", "-", "-", "0", "-", "-", "-", "-", "unknown", "0"] in rows


def test_a_comparison_shows_intervals_below_the_values() -> None:
    lines = drawn(built(*OUTCOMES, name="one"), built(*OUTCOMES, name="two")).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("one "))
    assert lines[at].split()[1:5] == ["0.8889", "0.3333", "1.0000", "0.7698"]
    assert lines[at + 1].split() == ["0.411..1.000", "0.061..0.792", "0.439..1.000", "0.401..0.900"]
    assert lines[at + 2].startswith("two ")


def test_tags_show_intervals_too() -> None:
    lines = drawn(built(*OUTCOMES), by_tag=True).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("z "))
    assert lines[at + 1].split() == ["0.000..1.000", "0.000..0.793", "0.207..1.000", "0.000..1.000"]


def test_the_parts_of_a_metric_stand_below_it() -> None:
    over = Outcome(dialogue_id="a", type="refusal", expect_refusal=False)
    lines = drawn(built(over)).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("refusal_as_expected"))
    assert lines[at + 1].split()[:2] == ["over_refusal", "1.0000"]
    assert lines[at + 2].split() == ["under_refusal", "-", "-", "0"]


def test_a_metric_that_failed_is_said_with_its_reason() -> None:
    found = built(*OUTCOMES)
    found["metrics"]["fact_coverage"]["error"] = "KeyError: 'x' (own.py:3)"
    assert "fact_coverage failed and has no value: KeyError: 'x' (own.py:3)" in drawn(found)


def test_an_unfinished_run_is_said_to_be_one_alone_and_among_others() -> None:
    found = built(*OUTCOMES, name="one")
    found["run"] |= {"state": "unfinished", "kept": 3, "dialogues": 4000}
    words = "UNFINISHED: 3 of 4,000 dialogues are kept; the same `profiler run` command goes on"
    assert words in drawn(found)
    text = drawn(found, built(*OUTCOMES, name="two"))
    assert "3 of 4,000  " in text
    assert f"one: {words}" in text
    assert "two: UNFINISHED" not in text


def test_how_often_a_run_was_taken_up_is_said() -> None:
    found = built(*OUTCOMES)
    found["run"]["sessions"] = [{"started": "then"}]
    assert "sessions" not in drawn(found)
    found["run"]["sessions"] *= 3
    assert "sessions 3\n" in drawn(found)


def test_a_cost_that_is_more_than_a_number_has_a_footnote() -> None:
    text = drawn(built(*OUTCOMES, name="one"), built(name="two"))
    assert " $0.1000*  " in text
    assert "* one: cost $0.1000 + 2 unknown\n" in text
    assert "* two" not in text


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("name", ["sweep-claude-haiku-4-5-0.", "a-very-long-name-of-an-experiment-" * 3])
def test_tables_fit_the_terminal_with_every_number_and_name_whole(
    monkeypatch: pytest.MonkeyPatch, width: int, name: str, *, terminal: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    found = [built(*OUTCOMES, name=f"{name}{number}") for number in range(5)]
    text = re.sub(r"\x1b\[[0-9;]*m", "", drawn(*found, terminal=terminal, width=width))
    body = [line for line in text.splitlines() if name not in line or len(name) < 40]
    assert max(map(len, body)) <= width
    words = text.split()
    assert words.count("0.8889") == 5
    assert words.count("0.401..0.900") == 5
    assert words.count("$0.1000*") == 5
    assert all(any(f"{name}{number}" in line for line in text.splitlines()) for number in range(5))


@pytest.mark.parametrize("width", [80, 100])
def test_tags_fit_the_terminal_too(width: int) -> None:
    tagged = [Outcome(dialogue_id="x", type="answer", tags=(f"a-rather-long-tag-{n}",)) for n in range(9)]
    text = drawn(built(*OUTCOMES, *tagged), by_tag=True, width=width)
    tags = text[text.index("By tag") :]
    assert max(map(len, tags.splitlines())) <= width
    assert all(f"a-rather-long-tag-{n}" in tags.split() for n in range(9))


def test_live_is_said_and_so_is_not_knowing() -> None:
    assert "MODE: LIVE" in drawn(built(mode="live"))
    assert "MODE: UNKNOWN" in drawn({})


def test_tags_are_shown_when_asked_for() -> None:
    found = built(*OUTCOMES) | {"by_tag_other": {"n": 2}}
    assert "By tag" not in drawn(found)
    assert "By tag (demo_run)" in drawn(found, by_tag=True)
    assert "(other tags)" in drawn(found, by_tag=True)


def test_columns_line_up_by_display_width() -> None:
    lines = drawn(built(*OUTCOMES, name="日本語"), built(*OUTCOMES, name="plain")).splitlines()
    rows = [line for line in lines if "0.8889" in line]
    assert [table._width(row[: row.index("0.8889")]) for row in rows] == [19, 19]


def test_control_characters_never_reach_the_terminal() -> None:
    for terminal in (True, False):
        text = drawn(built(name="a\x1b[31m\u202eb\nc"), terminal=terminal)
        assert "\x1b[31m\u202e" not in text
        assert "a?[31m?b?c" in text


def test_a_file_that_is_not_utf8_gets_ascii() -> None:
    text = drawn(built(name="é日"), encoding="ascii", terminal=True)
    assert text.startswith("Experiment Metrics (\\xe9\\u65e5)")


def test_a_utf8_terminal_gets_the_same_numbers_in_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    text = drawn(built(*OUTCOMES, name="[red]x"), terminal=True)
    assert "Experiment Metrics ([red]x)" in text
    assert "─" in text
    assert ["fact_coverage", "0.8889", "0.4108", "..", "1.0000", "3"] in [line.split() for line in text.splitlines()]
    assert "\x1b[3" not in text


def test_without_rich_the_table_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "─" not in drawn(built(*OUTCOMES), terminal=True)


@pytest.mark.parametrize(
    "junk", [{}, {"metrics": {"a": 1, "b": {"ci95": "x"}}, "cost": 3, "run": [], "by_tag": {"t": 1}}]
)
def test_a_summary_with_parts_missing_is_shown_as_far_as_it_goes(junk: dict[str, Any]) -> None:
    assert "Experiment Metrics (?)" in drawn(junk, by_tag=True)
    assert "2 experiments" in drawn(junk, junk)


def test_importing_the_table_does_not_import_rich() -> None:
    code = "import sys, profiler.cli.table, profiler.metrics.reduction; sys.exit(bool({'rich', 'anthropic', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_log_without_costs_leaves_what_the_run_itself_counted() -> None:
    known = built(OUTCOMES[0], mode="live")
    known["run"] |= {"spent_usd": 0.25, "maybe_billed_usd": 0.0}
    doubtful = built(OUTCOMES[0], mode="live")
    doubtful["run"] |= {"spent_usd": 0.25, "maybe_billed_usd": 0.5}

    assert "cost $0.2500\n" in drawn(known)
    assert "cost $0.2500 (+ up to $0.5000 maybe billed)\n" in drawn(doubtful)
    assert "cost unknown\n" in drawn(built(OUTCOMES[0], mode="live"))


def test_what_repeats_tell_of_a_metric_has_columns_and_what_they_cannot_tell_is_said() -> None:
    part = {"value": 0.5, "n": 4, "ci95": [0.1, 0.9], "left_out": 3}
    repeated = {"dialogues": 7, "n_effective": 9.25, "variance": {"within": 0.125, "between": None}}
    found = {
        "right": {"value": 0.5, "n": 12, "ci95": [0.2, 0.8], **repeated, "pass@2": part, "pass^2": part},
        "mine": {"value": 2.0, "n": 12, "ci95": None, "note": "no interval: it says nothing of repeats"},
    }
    file = io.StringIO()

    summary_table.render([{"run": {"experiment_id": "e"}, "metrics": found}], file=file, plain=True, width=200)

    rows = {line.split("  ")[0]: line.split() for line in file.getvalue().splitlines() if line}
    assert rows["right"][1:] == ["0.5000", "0.2000", "..", "0.8000", "12", "9.2", "0.1250", "-"]
    assert "variance" not in rows
    assert file.getvalue().count("3 dialogues have too few scores and are left out") == 1
    assert "mine: no interval: it says nothing of repeats" in file.getvalue()
