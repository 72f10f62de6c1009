"""An audit finds a cheat that passes, an honest submission that fails, a mutant that survives and a box that leaks."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grader.cli.audit import as_dict
from grader.cli.audit_table import ASCII, lines
from grader.cli.main import main
from grader.experiment_profiler.audit.audit import Report, attempts, audit, chosen
from grader.experiment_profiler.audit.corpus.entries import Corpus, Entry, load_all
from grader.experiment_profiler.audit.loot import VARIABLE, Loot, laid_out
from grader.experiment_profiler.audit.trial import Job, Said, Trial
from task_kit.sandbox import Probe

RUNNER = "experiment_profiler/runner.py"
UNCHANGED = Entry(
    corpus=Corpus.HONEST,
    kind="planted",
    name="planted/unchanged",
    tries=".",
    write={},
    append={},
    replace={},
    worlds=0,  # the sample alone: what a report says of an entry does not depend on how many there are
)
WITHOUT_THE_LAST = {RUNNER: (("enumerate(samples)", "enumerate(list(samples)[:-1])"),)}


def planted(corpus: Corpus, **changes: Any) -> Entry:
    return replace(UNCHANGED, corpus=corpus, **changes)


def report_of(*entries: Entry) -> Report:
    return audit(entries, seed="planted")


@pytest.mark.long
def test_no_cheat_passes_no_honest_submission_fails_and_mutants_are_caught() -> None:
    report = audit(load_all(), jobs=2)

    assert report.problems() == ()
    assert report.left_out == ()
    assert report.probes


def test_whatever_is_wrong_is_found_and_nothing_else() -> None:
    """All in one audit, for every worker and every look at the box takes a while."""
    (looting,) = chosen(load_all(), ["cheats/loot/password_file"])
    # without this, cheats of `loot` would fail whether or not they got out
    escaped = replace(
        looting, worlds=0, append={RUNNER: looting.append[RUNNER] + "\n\ndef escaped():\n    return True\n"}
    )
    cheats = [
        planted(Corpus.CHEATS, name="passes", reasons=("order",)),
        planted(Corpus.CHEATS, name="other", reasons=("order",), replace=WITHOUT_THE_LAST),
        planted(Corpus.CHEATS, name="caught", reasons=("missing_dialogue",), replace=WITHOUT_THE_LAST),
        escaped,
    ]
    honest = [
        planted(Corpus.HONEST, name="impossible", replace={RUNNER: (("not there", ""),)}),
        planted(Corpus.HONEST, name="fails", replace=WITHOUT_THE_LAST),
        planted(Corpus.HONEST, name="good"),
    ]
    mutants = [
        planted(Corpus.MUTANTS, name="silent"),
        planted(Corpus.MUTANTS, name="argued", survives="it changes nothing"),
        *(planted(Corpus.MUTANTS, name=f"caught_{n}", replace=WITHOUT_THE_LAST) for n in range(2)),
    ]

    report = report_of(*cheats, *honest, *mutants)

    assert [trial.status for trial in report.trials[4:7]] == ["error", "fail", "pass"]
    assert report.survivors() == {"silent": None, "argued": "it changes nothing"}
    assert report.score() == 0.5
    passes, other, out, impossible, fails, silent, score = report.problems()
    assert passes == "cheats/passes (seed planted/0/passes): passed"
    assert "failed for" in other
    assert "missing_dialogue" in other
    assert other.endswith("not for order")
    assert out.startswith("cheats/loot/password_file ")
    assert "passed" in out
    assert "found 0 times" in impossible
    assert "missing_dialogue" in fails
    assert "silent" in silent
    assert score.startswith("only 50.0% of the mutants are caught")


def test_no_worker_may_find_a_level_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Job] = []

    def noted(jobs: list[Job], **_: object) -> list[Trial]:
        given.extend(jobs)
        return []

    monkeypatch.setattr("grader.experiment_profiler.audit.audit.attempts", noted)

    report = report_of(UNCHANGED)

    assert [job.isolation for job in given] == [report.level]


def test_an_audit_can_be_made_at_a_level_that_lacks_what_some_need() -> None:
    barred = planted(Corpus.HONEST, name="planted/barred", barred_at=("kernel",))

    report = audit((UNCHANGED, barred), seed="planted", isolation="kernel")

    assert report.problems() == ()
    assert (report.level, report.left_out) == ("kernel", ("honest/planted/barred",))


def test_a_probe_that_gets_out_is_found() -> None:
    probes = (
        Probe(name="one", stopped=True, said="EACCES", claimed=True),
        Probe(name="two", stopped=False, said="read 12 bytes", claimed=True),
        Probe(name="three", stopped=False, said="saw a name", claimed=False),
    )
    report = Report(level="kernel", seed="s", rounds=1, trials=(), probes=probes, left_out=())

    assert report.problems() == ("kernel: the probe 'two' got out: read 12 bytes",)


def test_an_audit_can_be_repeated() -> None:
    entry = planted(Corpus.MUTANTS, replace=WITHOUT_THE_LAST)

    first, again = (audit([entry], seed="same", rounds=rounds) for rounds in (2, 1))

    assert first.trials[:1] == again.trials
    assert len({trial.seed for trial in first.trials}) == 2


def deadly(given: bytes) -> bytes:
    """In a worker, instead of a grading."""
    if pickle.loads(given).entry.name == "planted/deadly":
        print("its last words", flush=True)
        os._exit(9)
    return msgspec.json.encode(Said(status="pass", reasons=(), reward=1.0, problem=None))


def test_a_trial_that_kills_its_grader_is_told_from_those_beside_it() -> None:
    loot = Loot(secret="s", file=Path("f"), port=1)
    names = ("planted/a", "planted/deadly", "planted/b")
    owed = [Job(entry=planted(Corpus.CHEATS, name=name), seed="s", loot=loot) for name in names]

    before, killer, after = attempts(owed, workers=2, function=f"{__name__}:deadly")

    assert (before.problem, after.problem) == (None, None)
    assert killer.problem is not None
    assert killer.problem.startswith("it killed the grader: ")
    assert "ended with exit code 9" in killer.problem
    assert killer.problem.endswith("its last words")


# --- what is laid out ------------------------------------------------------------------------------------------------


def test_what_is_laid_out_can_be_had_from_outside_a_box_and_goes_away() -> None:
    with laid_out() as loot:
        assert loot.secret in loot.file.read_text()
        assert loot.file.parent.stat().st_mode & 0o777 == 0o777
        socket.create_connection(("127.0.0.1", loot.port), timeout=5).close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as question:
            question.settimeout(5)
            question.sendto(b"anybody?", ("127.0.0.1", loot.port))
            assert question.recv(64) == b"anybody?"
        environment = subprocess.run(["cat", "/proc/self/environ"], capture_output=True, check=True).stdout
        assert f"{VARIABLE}={loot.secret}".encode() in environment

    assert not loot.file.parent.exists()
    assert VARIABLE not in os.environ
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", loot.port), timeout=5)


def test_every_placeholder_has_a_meaning(tmp_path: Path) -> None:
    used = {word for entry in load_all() for text in entry.append.values() for word in text.split("@")[1::2]}
    known = Loot(secret="s", file=tmp_path / "f", port=1).words()

    assert {f"@{word}@" for word in used if word.isupper()} == set(known)


# --- the command ------------------------------------------------------------------------------------------------------


def corpus(folder: Path, *, reason: str) -> Path:
    (folder / "cheats").mkdir()
    (folder / "cheats" / "mine.toml").write_text(
        f'[short]\ntries = "."\nreason = ["{reason}"]\n'
        f'replace."{RUNNER}" = [["enumerate(samples)", "enumerate(list(samples)[:1])"]]\n'
    )
    return folder


def test_the_command_exits_with_0_when_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["audit", "--corpus", str(corpus(tmp_path, reason="missing_dialogue")), "--jobs", "1", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (code, told["ok"], told["problems"]) == (0, True, [])
    assert told["cheats"][0]["name"] == "mine/short"
    assert told["cheats"][0]["reasons"][0] == "missing_dialogue"


def test_the_command_exits_with_1_when_something_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["audit", "--corpus", str(corpus(tmp_path, reason="order")), "--jobs", "1"])

    assert code == 1
    assert "not for order" in capsys.readouterr().out


def test_the_command_exits_with_2_when_nothing_is_named_like_that(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--only", "cheats/nothing"]) == 2
    assert "found no entry to grade" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--rounds", "--jobs"])
@pytest.mark.parametrize("given", ["0", "two"])
def test_a_number_that_is_none_is_told_in_words(capsys: pytest.CaptureFixture[str], option: str, given: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["audit", option, given])
    assert f"argument {option}: found {given!r}, expected a whole number of at least 1" in capsys.readouterr().err


def test_the_table_has_a_row_for_each_kind_and_names_what_is_wrong() -> None:
    good = Trial(entry=planted(Corpus.CHEATS, kind="theft"), seed="s", status="fail", reasons=("order", "prompt"))
    bad = replace(good, status="pass", reasons=(), problem="passed")
    probes = (Probe(name="read_secret", stopped=True, said="EACCES", claimed=True),)
    report = Report(level="kernel", seed="s", rounds=2, trials=(good, bad), probes=probes, left_out=("cheats/x/y",))

    text = "\n".join(lines(report, verbose=False, marks=ASCII))

    assert "BAD theft" in text
    assert "1/2" in text
    assert "order 1" in text
    assert "ok  read_secret" in text
    assert "claims neither to stop nor to allow them: cheats/x/y" in text
    assert "cheats/planted/unchanged (seed s): passed" in text
    assert text.endswith("2 gradings in 2 rounds from seed s: 1 problem")


def test_surviving_mutants_are_told_with_the_reason_why_they_are_harmless() -> None:
    silent, argued = (
        Trial(entry=planted(Corpus.MUTANTS, name=name, survives=why), seed="s", status="pass", problem="passed")
        for name, why in (("silent", None), ("argued", "it changes nothing"))
    )
    caught = Trial(entry=planted(Corpus.MUTANTS, name="caught"), seed="s", status="fail", reasons=("order",))
    report = Report(level="kernel", seed="s", rounds=1, trials=(silent, argued, caught, caught), probes=(), left_out=())

    text = "\n".join(lines(report, verbose=False, marks=ASCII))

    assert "Mutation score 33.3%" in text
    assert "silent survives: nobody argued why" in text
    assert "argued survives: it changes nothing" in text
    assert as_dict(report)["survivors"] == {"silent": None, "argued": "it changes nothing"}
