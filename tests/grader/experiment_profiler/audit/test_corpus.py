"""The corpora are whole: every kind of cheat is there, every entry can be laid out, and mistakes in them are told."""

from __future__ import annotations

import ast
import shutil
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.audit.corpus.entries import Corpus, CorpusError, Entry, load, read
from grader.experiment_profiler.audit.corpus.overlay import lay_out
from grader.experiment_profiler.grading.grade import reference as solution
from grader.experiment_profiler.judging.reasons import REASONS
from task_kit.sandbox import Level

if TYPE_CHECKING:
    from pathlib import Path

# What someone paid to cheat is known to try, and the files of the corpus that try it.
KINDS = {
    "exit 0 at import": {"exits"},
    "forged stdout": {"stdout"},
    "patched json, metrics, pathlib and grader": {"patches"},
    "objects with odd __eq__ and __float__": {"odd_objects"},
    "NaN, Infinity, strings and bools": {"odd_numbers"},
    "duplicate keys and deep nesting": {"odd_json"},
    "hard-coded sample": {"hard_coded"},
    "reading the reference, expected values, the parent's memory, keys; network": {"loot"},
    "edited or shadowed tools (json.py, sitecustomize.py, .pth, conftest.py)": {"shadows"},
    "pre-baked runs and other output directories": {"elsewhere"},
    "links, FIFOs, devices and huge files": {"odd_files"},
    "daemons, atexit and threads": {"afterlife"},
    "fork bombs, loops and floods": {"floods"},
    "detecting that it is graded, counting calls across worlds": {"watched"},
    "cached summarize": {"summarize"},
    "ignored config": {"config"},
    "invented completions": {"completions"},
    "partial logs": {"partial"},
    "killing the grader": {"killing"},
    "right in worlds that look alike": {"alike"},
    "answers that were not asked for": {"unasked"},
    "live clients that are none": {"live"},
    "forcing an error, which says nothing of a submission": {"errors"},
    "limits that are none": {"limits"},
    "remembers what it should find out again": {"remembering"},
    "takes zero for nothing": {"zeros"},
    "live calls that fail or say nothing": {"failing"},
    "knows only what it made itself": {"strangers"},
}

ALL = [entry for corpus in Corpus for entry in load(corpus)]


def reference(folder: Path, *, text: str = "old = 1\n") -> Path:
    (folder / "experiment_profiler").mkdir(parents=True)
    (folder / "experiment_profiler" / "runner.py").write_text(text)
    return folder


def entry(folder: Path, text: str, *, corpus: Corpus = Corpus.MUTANTS) -> Entry:
    file = folder / "kind.toml"
    file.write_text(text)
    (only,) = read(corpus, file)
    return only


def test_every_kind_of_cheat_is_tried() -> None:
    found: dict[str, set[str]] = {}
    for cheat in load(Corpus.CHEATS):
        found.setdefault(cheat.kind, set()).add(cheat.name.partition("/")[0])

    assert found == KINDS


def test_there_are_enough_of_each() -> None:
    counts = {corpus: len(load(corpus)) for corpus in Corpus}

    assert counts[Corpus.CHEATS] >= 140
    assert counts[Corpus.HONEST] >= 40
    assert counts[Corpus.MUTANTS] >= 150
    assert counts[Corpus.STAGES] == 10


def test_names_are_unique() -> None:
    names = [f"{entry.corpus}/{entry.name}" for entry in ALL]

    assert sorted(set(names)) == sorted(names)


def test_every_cheat_names_reasons_and_a_level_that_exist() -> None:
    for cheat in load(Corpus.CHEATS):
        assert set(cheat.reasons) <= set(REASONS), cheat.name
        assert Level.parse(cheat.stopped_from) in Level, cheat.name


def test_what_is_laid_out_can_be_compiled(tmp_path: Path) -> None:
    """A typing error would fail as a cheat, and for a reason that may even be the named one."""
    compiled = set()  # most files of most entries are the reference's own
    for number, each in enumerate(ALL):
        folder = tmp_path / str(number)
        lay_out(each, folder, reference=solution(), words={"@GRADER_PID@": "1", "@LOOT_PORT@": "1"})
        for file in folder.rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            if text not in compiled:
                ast.parse(text, filename=f"{each.name}: {file.name}")
                compiled.add(text)
        shutil.rmtree(folder)


def test_an_entry_changes_adds_and_writes(tmp_path: Path) -> None:
    text = """
    kind = "some"
    before."experiment_profiler/runner.py" = "first = '@WORD@'\\n"
    [one]
    tries = "All at once."
    write."extra/notes.txt" = "@WORD@"
    append."experiment_profiler/runner.py" = "second = 2\\n"
    replace."experiment_profiler/runner.py" = [["old = 1", "new = 1"]]
    """
    folder = tmp_path / "submission"

    lay_out(entry(tmp_path, text), folder, reference=reference(tmp_path / "reference"), words={"@WORD@": "said"})

    runner = (folder / "experiment_profiler" / "runner.py").read_text()
    assert [line for line in runner.splitlines() if line] == ["new = 1", "first = 'said'", "second = 2"]
    assert (folder / "extra" / "notes.txt").read_text() == "said"


@pytest.mark.parametrize("text", ["nothing of the kind", "old = 1; old = 1"])
def test_a_replacement_must_find_its_place_once(tmp_path: Path, text: str) -> None:
    mutant = entry(tmp_path, '[one]\ntries = "."\nreplace."experiment_profiler/runner.py" = [["old", "new"]]')

    with pytest.raises(CorpusError, match=r"kind/one: experiment_profiler/runner.py: found [02] times, expected once"):
        lay_out(mutant, tmp_path / "s", reference=reference(tmp_path / "reference", text=text), words={})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[one", "kind.toml"),
        ('[one]\ntires = "."', "kind/one: found .*tires.*expected a table with `tries`"),
        ('[one]\nreason = ["order"]', "expected a table with `tries`"),
        ("one = 1", "kind/one: found 1"),
        ('[one]\ntries = "."', "kind/one: found no reason"),
    ],
)
def test_a_mistake_in_a_corpus_is_told_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(CorpusError, match=complaint):
        entry(tmp_path, text, corpus=Corpus.CHEATS)
