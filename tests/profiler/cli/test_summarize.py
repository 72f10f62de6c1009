"""`profiler summarize`: of one run or many, finished or not, from the summary or counted again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from profiler.storage.folder_lock import locked
from tests.profiler.cli.shell import SAMPLE, Shell, manifest, several


def test_recompute_writes_the_scores_anew_unless_other_metrics_are_asked_for(shell: Shell) -> None:
    shell.run(SAMPLE)
    scores = shell.runs / "demo_run" / "scores.jsonl"
    written = scores.read_bytes()
    assert written.count(b"\n") == 3
    scores.unlink()
    shell("summarize", "--log-dir", shell.runs, "--recompute", "--metric", "completion_rate")
    assert not scores.exists()
    assert shell("summarize", "--log-dir", shell.runs, "--recompute").code == 0
    assert scores.read_bytes() == written


def test_recompute_of_a_run_that_is_held_leaves_its_scores(shell: Shell) -> None:
    shell.run(SAMPLE)
    scores = shell.runs / "demo_run" / "scores.jsonl"
    scores.write_bytes(b"old\n")
    with locked(scores.parent):
        said = shell("summarize", "--log-dir", shell.runs, "--recompute")
    assert (said.code, scores.read_bytes()) == (0, b"old\n")
    assert "scores.jsonl is not written anew: " in said.err


def test_summarize_judges_too_also_when_counted_again(shell: Shell, tmp_path: Path) -> None:
    shell.run(manifest(tmp_path, thresholds={"error_rate": {"max": 0.1}, "refusal_rate": {"min": 0.9}}))
    for words in ((), ("--recompute",), ("--json",)):
        said = shell("summarize", "--log-dir", shell.runs / "one", *words)
        assert (said.code, said.err) == (
            1,
            "threshold missed in one: refusal_rate is 0, below the minimum of 0.9\n",
        )
    shell.run(manifest(tmp_path, thresholds={"refusal_rate": {"max": 0.9}}))  # other thresholds, the same answers
    assert shell("summarize", "--log-dir", shell.runs / "one").code == 0


def test_the_sample_prints_its_table(shell: Shell) -> None:
    shell.run(SAMPLE)
    said = shell("summarize", "--log-dir", shell.runs / "demo_run")
    assert (said.code, said.err) == (0, "")
    rows = {words[0]: words[1] for words in map(str.split, said.out.splitlines()) if len(words) > 1}
    assert "Experiment Metrics (demo_run)" in said.out
    assert "MODE: MOCK" in said.out
    numbers = {
        "fact_coverage": "0.8889",
        "geometric_mean": "0.7698",
        "refusal_rate": "0.3333",
        "completion_rate": "1.0000",
    }
    assert {name: rows[name] for name in numbers} == numbers


def test_json_is_the_summary_to_the_byte_also_when_counted_again(shell: Shell) -> None:
    shell.run(SAMPLE)
    folder = shell.runs / "demo_run"
    file = (folder / "summary.json").read_text()
    assert shell("summarize", "--log-dir", folder, "--json").out == file
    assert shell("summarize", "--log-dir", folder, "--json", "--recompute").out == file


STRAGGLING = """\
import anyio
from profiler import CallError, Reply
class Client:
    def __init__(self, experiment): self.others = anyio.Event()
    async def complete(self, request):
        if request.index == 1:
            await self.others.wait()
            raise CallError("authentication", "no more", fatal=True)
        if request.index == 8:
            self.others.set()
        return Reply(completion="q", stop_reason="end_turn", model="m", usage={"input_tokens": 3, "output_tokens": 2})
"""


@pytest.fixture
def stopped(shell: Shell, tmp_path: Path) -> Path:
    """A run with a straggler: of nine answers eight are kept, and the ordered log shows one."""
    path = manifest(tmp_path, client="own_straggling_client:Client", concurrency=9)
    (tmp_path / "own_straggling_client.py").write_text(STRAGGLING)
    rows = [{"dialogue_id": f"d{index}", "user": "q", "required_facts": ["q"]} for index in range(9)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    assert shell.run(path).code == 3
    folder = shell.runs / "one"
    assert len((folder / "responses.jsonl").read_bytes().splitlines()) == 1
    return folder


@pytest.mark.parametrize("words", [(), ("--recompute",)])
def test_an_unfinished_run_is_told_from_its_journal(shell: Shell, stopped: Path, words: tuple[str, ...]) -> None:
    said = shell("summarize", "--log-dir", stopped, *words)
    assert said.code == 0
    assert "MODE: MOCK" in said.out
    assert "UNFINISHED: 8 of 9 dialogues are kept" in said.out
    found = shell("summarize", "--log-dir", stopped, "--json", *words).json
    assert (found["fact_coverage"], found["counts"]["total"], found["tokens"]["output"]) == (1.0, 8, 16)
    facts = found["run"]
    assert (facts["state"], facts["mode"], facts["kept"], facts["dialogues"]) == ("unfinished", "mock", 8, 9)


def test_in_a_folder_of_runs_an_unfinished_one_is_a_line(shell: Shell, stopped: Path) -> None:
    shell.run(SAMPLE)
    said = shell("summarize", "--log-dir", shell.runs)
    assert said.code == 0
    (line,) = [line for line in said.out.splitlines() if line.startswith("one ")]
    assert "8 of 9" in line
    assert len(shell("summarize", "--log-dir", shell.runs, "--json").json["summaries"]) == 2


def test_in_a_folder_of_runs_a_damaged_one_is_told_and_the_others_shown(shell: Shell, stopped: Path) -> None:
    shell.run(SAMPLE)
    (stopped / "journal.jsonl").write_bytes(b"nonsense\n{}\n")
    said = shell("summarize", "--log-dir", shell.runs)
    assert said.code == 2
    assert "0.8889" in said.out
    assert f"error: {stopped}/journal.jsonl:1: found a line that is no record" in said.err
    alone = shell("summarize", "--log-dir", stopped)
    assert (alone.code, alone.out) == (2, "")


def test_a_run_without_journal_and_summary_can_be_counted_from_its_logs(shell: Shell) -> None:
    shell.run(SAMPLE)
    folder = shell.runs / "demo_run"
    whole = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").unlink()
    counted = shell("summarize", "--log-dir", folder, "--recompute", "--json").json
    assert {**counted, "run": None} == {**whole, "run": None}
    assert counted["run"] == {"experiment_id": "demo_run"}
    responses = folder / "responses.jsonl"
    responses.write_bytes(responses.read_bytes()[:-3])
    assert shell("summarize", "--log-dir", folder, "--recompute", "--json").json["counts"]["total"] == 2


def test_other_metrics_can_be_asked_for(shell: Shell) -> None:
    shell.run(SAMPLE)
    words = ("summarize", "--log-dir", shell.runs / "demo_run", "--recompute", "--json")
    assert list(shell(*words, "--metric", "refusal_rate").json["metrics"]) == ["refusal_rate"]
    wrong = shell(*words, "--metric", "refusal_rat")
    assert wrong.code == 2
    assert "did you mean 'refusal_rate'?" in wrong.err


def test_a_folder_of_runs_is_one_table(shell: Shell, tmp_path: Path) -> None:
    shell.run(several(tmp_path))
    said = shell("summarize", "--log-dir", shell.runs)
    assert "Experiment Metrics (3 experiments)" in said.out
    assert len(shell("summarize", "--log-dir", shell.runs, "--json").json["summaries"]) == 3
    two = shell("summarize", "--log-dir", shell.runs / "a1", "--log-dir", shell.runs / "b1")
    assert "Experiment Metrics (2 experiments)" in two.out


def test_tags_have_lines_of_their_own_when_asked_for(shell: Shell, tmp_path: Path) -> None:
    shell.run(manifest(tmp_path))
    assert "By tag" not in shell("summarize", "--log-dir", shell.runs).out
    assert "By tag (one)" in shell("summarize", "--log-dir", shell.runs, "--by-tag").out


@pytest.mark.parametrize(("make", "words"), [(False, "found no such folder"), (True, "found no run in it")])
def test_a_folder_without_runs_is_told(shell: Shell, tmp_path: Path, words: str, *, make: bool) -> None:
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    said = shell("summarize", "--log-dir", folder)
    assert (said.code, said.out) == (2, "")
    assert f"error: {folder}: {words}\nhint: " in said.err


def test_a_file_of_a_run_in_place_of_its_folder_is_told(shell: Shell) -> None:
    shell.run(SAMPLE)
    summary = shell.runs / "demo_run" / "summary.json"
    wanted = f"error: {summary}: found a file, expected a folder\nhint: name its folder: {summary.parent}\n"
    assert shell("summarize", "--log-dir", summary).err == wanted
    assert shell("show", summary).err == wanted
    assert shell("list", summary).err == wanted
    assert "hint: a run directory is wanted" in shell("summarize", "--log-dir", SAMPLE).err


def test_runs_that_were_moved_aside_are_not_summed_up_with_the_others(shell: Shell) -> None:
    shell.run(SAMPLE)
    shell.run(SAMPLE, "--fresh")
    assert len(list(shell.runs.iterdir())) == 2
    assert shell("summarize", "--log-dir", shell.runs, "--json").json["run"]["experiment_id"] == "demo_run"


def test_a_run_whose_id_looks_like_one_moved_aside_is_shown(shell: Shell, tmp_path: Path) -> None:
    shell.run(manifest(tmp_path, experiment_id="mine.old-fashioned"))
    shell.run(manifest(tmp_path, experiment_id="one"))
    shell.run(manifest(tmp_path, experiment_id="one"), "--fresh")

    said = shell("summarize", "--log-dir", tmp_path / "runs", "--json").json

    assert [each["run"]["experiment_id"] for each in said["summaries"]] == ["mine.old-fashioned", "one"]
