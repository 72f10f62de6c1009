"""Every numbered sentence of the prompt is exercised by a kind of world, broken by an entry that is caught, and tested.

`docs/grading.md` says which; what it says is held against the prompt, the corpora and the tests here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grader.experiment_profiler.audit.audit import audit
from grader.experiment_profiler.audit.corpus.entries import Corpus, Entry, load_all
from task_kit.task import TASKS
from tests.grader.experiment_profiler.worlds.kinds import KINDS

ROOT = Path(__file__).resolve().parents[4]
PROMPT = TASKS["experiment_profiler"].prompt()
NUMBERS = [int(number) for number in re.findall(r"\[(\d+)\]", PROMPT)]
EVERY_RUN = "every run"
ENTRIES = {f"{entry.corpus}/{entry.name}": entry for entry in load_all()}


def table() -> dict[int, tuple[list[str], list[str], list[str]]]:
    """Kinds, entries and tests by the number of the sentence."""
    _, found, rest = (
        (ROOT / "docs/grading.md").read_text(encoding="utf-8").partition("## What every sentence is held by\n")
    )
    assert found
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.*?) \|$", rest.partition("\n## ")[0], re.MULTILINE)
    code = re.compile(r"`([^`]+)`")
    return {
        int(number): (kinds.split("; "), code.findall(entries), code.findall(tests))
        for number, kinds, entries, tests in rows
    }


TABLE = table()


def test_sentences_are_numbered_without_a_gap() -> None:
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS


def test_every_sentence_stands_in_the_table() -> None:
    assert list(TABLE) == NUMBERS


def test_what_the_table_says_is_there() -> None:
    for number, (kinds, entries, tests) in TABLE.items():
        assert [kind for kind in kinds if kind not in KINDS and kind != EVERY_RUN] == [], number
        assert [name for name in entries if name not in ENTRIES] == [], number
        for test in tests:
            path, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), number


def test_the_mutants_of_a_sentence_say_that_they_break_it() -> None:
    for number, (_, entries, _) in TABLE.items():
        assert entries, number
        silent = [name for name in entries if name.startswith("mutants/") and number not in ENTRIES[name].breaks]
        assert silent == [], number


def test_every_mutant_breaks_a_sentence() -> None:
    mutants = [entry for entry in ENTRIES.values() if entry.corpus is Corpus.MUTANTS]

    assert [entry.name for entry in mutants if not set(entry.breaks) & set(NUMBERS)] == []


def first_of(number: int) -> Entry:
    return ENTRIES[TABLE[number][1][0]]


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_each_sentence_has_an_entry_that_breaks_it_and_is_caught(number: int) -> None:
    report = audit([first_of(number)], seed=f"sentence {number}")

    assert [trial.status for trial in report.trials] == ["fail"]
