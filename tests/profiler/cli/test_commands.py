"""Each command on its happy path and on its wrong turns, in one process."""

from __future__ import annotations

import gc
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from profiler.cli import main
from profiler.cli.banner import hints
from profiler.cli.progress import drawn_on
from profiler.manifest.schema import manifest_schema
from profiler.manifest.settings import Experiment
from profiler.provider.source import choose_mode
from profiler.storage.folder_lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "configs" / "sample_experiment.yaml"


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str], runs: Path) -> None:
        self.capsys = capsys
        self.runs = runs

    def __call__(self, *words: str | Path) -> Said:
        code = main.main([str(word) for word in words])
        return Said(code, *self.capsys.readouterr())

    def run(self, config: Path, *words: str) -> Said:
        return self("run", "--config", config, "--output-dir", self.runs, "--mode", "mock", *words)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    thresholds = gc.get_threshold()
    yield Shell(capsys, tmp_path / "runs")
    gc.set_threshold(*thresholds)


def manifest(folder: Path, **fields: Any) -> Path:
    data = [{"dialogue_id": f"d{index}", "user": "q", "required_facts": ["q"], "tags": ["t"]} for index in range(4)]
    (folder / "data.json").write_text(json.dumps(data))
    usual = {"experiment_id": "one", "model": "m", "max_tokens": 64, "dataset_path": "data.json"}
    path = folder / "manifest.yaml"
    path.write_text(json.dumps({**usual, **fields}))
    return path


def several(folder: Path) -> Path:
    manifest(folder)
    shared = {"model": "m", "max_tokens": 64, "dataset_path": "data.json"}
    path = folder / "manifest.yaml"
    path.write_text(
        json.dumps({"defaults": shared, "experiments": [{"experiment_id": each} for each in ("a1", "a2", "b1")]})
    )
    return path


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


# --- run ----------------------------------------------------------------------------------------------------------


def test_the_sample_ends_with_the_two_lines_that_scripts_look_for(shell: Shell) -> None:
    said = shell.run(SAMPLE)
    assert said.code == 0
    closing = f"Completed experiment demo_run\nMetrics written to {shell.runs}/demo_run/summary.json\n"
    assert said.out == shell("summarize", "--log-dir", shell.runs).out + closing
    assert said.err.startswith("MODE: MOCK — 1 experiment, answered by the deterministic mock;")


def test_a_second_run_asks_nothing(shell: Shell) -> None:
    first = shell.run(SAMPLE)
    second = shell.run(SAMPLE)
    assert (second.code, second.out) == (0, first.out)
    assert "demo_run: already complete, nothing was asked" in second.err


def test_dialogues_a_second_are_dialogues_where_each_is_asked_several_times(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROFILER_REPEATS", "5")
    (found,) = shell.run(SAMPLE, "--json", "--quiet").json["experiments"]
    assert found["answered_now"] == 15
    assert found["dialogues_per_s"] == pytest.approx(found["answers_per_s"] / 5, abs=0.1)


def test_quiet_leaves_the_result_only(shell: Shell) -> None:
    said = shell.run(SAMPLE, "--quiet")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Experiment Metrics (demo_run)")


def test_json_is_all_that_is_on_stdout(shell: Shell) -> None:
    said = shell.run(SAMPLE, "--json")
    (found,) = said.json["experiments"]
    assert set(found) == {
        *("log_dir", "answered_now", "kept", "elapsed_s", "answers_per_s", "dialogues_per_s", "missed", "summary")
    }
    assert (found["answered_now"], found["kept"], found["summary"]["fact_coverage"]) == (3, 0, 0.8889)
    assert found["dialogues_per_s"] == found["answers_per_s"] > 0
    assert "Completed" not in said.err
    again = shell.run(SAMPLE, "--json", "--quiet")
    assert again.err == ""
    assert (again.json["experiments"][0]["answered_now"], again.json["experiments"][0]["dialogues_per_s"]) == (0, None)


def test_several_experiments_end_in_one_table(shell: Shell, tmp_path: Path) -> None:
    said = shell.run(several(tmp_path))
    assert said.code == 0
    assert said.out.count("Completed experiment") == 3
    assert "Experiment Metrics (3 experiments)" in said.out
    assert said.out.index("Experiment Metrics") < said.out.index("Completed experiment a1")
    assert len(shell.run(tmp_path / "manifest.yaml", "--json").json["experiments"]) == 3


def test_only_the_selected_experiments_run(shell: Shell, tmp_path: Path) -> None:
    said = shell.run(several(tmp_path), "--select", "a*", "--select", "b1", "--limit", "2")
    assert sorted(path.name for path in shell.runs.iterdir()) == ["a1", "a2", "b1"]
    assert "3 experiments" in said.err
    none = shell.run(tmp_path / "manifest.yaml", "--select", "c*")
    assert none.code == 2
    assert "found no experiment of that name" in none.err


def test_a_missed_threshold_is_exit_code_1_and_told(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, thresholds={"refusal_rate": {"min": 0.9}})
    for _ in range(2):
        said = shell.run(path, "--quiet")
        assert said.code == 1
        assert said.err == "threshold missed in one: refusal_rate is 0, below the minimum of 0.9\n"
        assert said.out.endswith("/one/summary.json\n")
    found = shell.run(path, "--quiet", "--json").json["experiments"][0]
    assert found["missed"] == ["refusal_rate is 0, below the minimum of 0.9"]
    assert found["summary"]["thresholds"]["refusal_rate"] == {"value": 0.0, "min": 0.9, "max": None, "met": False}


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


FAILING = """\
from profiler import CallError, Reply
class Client:
    def __init__(self, experiment): pass
    async def complete(self, request):
        if request.index % 10 < 3:
            kind = "timeout" if request.index % 10 == 2 else "invalid_request"
            raise CallError(kind, f"no answer to 'd{request.index}'\\x1b[31m after {request.index} s")
        return Reply(completion="q", stop_reason="max_tokens" if request.index == 3 else "end_turn", model="m", usage={})
"""


def test_errors_are_grouped_and_counted_and_the_way_on_is_said(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, client="own_failing_client:Client", retry={"max_attempts": 1})
    (tmp_path / "own_failing_client.py").write_text(FAILING)
    rows = [{"dialogue_id": f"d{index}", "user": "q", "required_facts": ["q"]} for index in range(100)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    said = shell.run(path)
    assert said.code == 0
    lines = said.err.splitlines()
    first = lines.index("one: 30 of 100 dialogues failed (30.0%); no metric but completion_rate counts them")
    assert lines[first + 1 : first + 4] == [
        "  20 × invalid_request: no answer to 'd0'\\x1b[31m after 0 s (first: d0)",
        "  10 × timeout: no answer to 'd2'\\x1b[31m after 2 s (first: d2)",
        f"  ask them again: profiler run --config {path} --output-dir {shell.runs} --mode mock --retry-failed",
    ]
    assert "one: 1 of 70 answers were cut off at max_tokens; raise it in the manifest" in lines
    assert lines[-2:] == [
        f"next: profiler summarize --log-dir {shell.runs}/one",
        f"next: profiler report {shell.runs}/one -o one.html",
    ]
    loud = shell.run(path, "--quiet", "--fail-on-errors", "0.29")
    assert (loud.code, loud.err.splitlines()[-1]) == (
        1,
        "one: 30.0% of the dialogues failed, above --fail-on-errors 0.29",
    )
    assert shell.run(path, "--quiet", "--fail-on-errors", "0.3").code == 0


def test_a_metric_that_raises_is_one_line_and_the_run_is_finished(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_raising_metric.py").write_text(
        "from profiler import rate\n\n"
        "def long(outcome):\n"
        "    return outcome.metadata['no such key']\n\n"
        "metric = rate('long', long)\n"
    )
    path = manifest(tmp_path, metrics=["fact_coverage", "own_raising_metric:metric"])
    said = shell.run(path)
    assert said.code == 70
    fault = "metric 'long' failed and has no value: at dialogue 'd0': KeyError: 'no such key' (own_raising_metric.py:4)"
    start = said.err.index(fault)
    assert said.err[start:].splitlines()[1].strip() == f'File "{tmp_path}/own_raising_metric.py", line 4, in long'
    assert "bug" not in said.err
    assert "profiler/metrics" not in said.err
    found = shell("summarize", "--log-dir", shell.runs, "--json").json
    assert (found["fact_coverage"], found["long"]) == (1.0, None)
    assert found["metrics"]["long"]["error"].startswith("at dialogue 'd0': KeyError")
    monkeypatch.chdir(tmp_path)  # where `summarize` looks for metrics
    assert fault in shell("summarize", "--log-dir", shell.runs, "--recompute").err


def test_all_experiments_are_checked_before_the_first_is_asked(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    document = json.loads(path.read_text())
    (tmp_path / "bad.json").write_text('[{"dialogue_id": "a", "user": 3}]')
    document["experiments"][1]["metrics"] = ["no_such_module:metric"]
    document["experiments"][2] |= {"dataset_path": "bad.json", "client": "nowhere:Client"}
    path.write_text(json.dumps(document))
    said = shell.run(path)
    assert (said.code, said.out) == (2, "")
    assert "error: 2 of 3 experiments cannot run, so none begins:" in said.err
    assert "a2: metrics: cannot import 'no_such_module'" in said.err
    assert "b1: client: cannot import 'nowhere'" in said.err
    assert "b1: " + str(tmp_path / "bad.json") + ":1" in said.err
    assert not shell.runs.exists()


def test_what_several_experiments_share_is_said_once(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    (tmp_path / "data.json").write_text("[]")
    said = shell.run(path)
    assert said.code == 2
    assert said.err.count("the dataset is empty") == 1
    assert "a1, a2, b1: " in said.err


def test_another_run_in_the_place_of_the_second_is_found_before_the_first(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    assert shell.run(path, "--select", "b1").code == 0
    said = shell.run(path, "--limit", "2")
    assert said.code == 2
    assert "b1: " in said.err
    assert "limit: the run has None, now it is 2" in said.err
    assert [each.name for each in shell.runs.iterdir()] == ["b1"]


def test_a_key_that_is_missing_is_told_before_the_first_experiment(shell: Shell, tmp_path: Path) -> None:
    said = shell("run", "--config", several(tmp_path), "--output-dir", shell.runs, "--mode", "live")
    assert said.code == 2
    assert "a1, a2, b1: live mode needs ANTHROPIC_API_KEY" in said.err


def test_a_bad_manifest_is_told_with_every_place(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("experiment_id: a/b\nmodel: m\nmax_tokens: many\ndataset_pth: x\n")
    said = shell.run(path)
    assert (said.code, said.out) == (2, "")
    assert all(f"bad.yaml:{place}" in said.err for place in ("1:", "3:", "4:"))
    assert "did you mean" in said.err
    assert not shell.runs.exists()


def test_a_missing_manifest_is_told(shell: Shell, tmp_path: Path) -> None:
    said = shell.run(tmp_path / "missing.yaml")
    assert said.code == 2
    assert "missing.yaml: cannot read the manifest: No such file" in said.err


def test_a_changed_manifest_is_refused_until_fresh(shell: Shell, tmp_path: Path) -> None:
    shell.run(manifest(tmp_path))
    refused = shell.run(manifest(tmp_path, model="other"))
    assert refused.code == 2
    assert "model: the run has 'm', now it is 'other'" in refused.err
    assert "hint: " in refused.err
    assert shell.run(manifest(tmp_path, model="other"), "--fresh").code == 0
    assert len(list(shell.runs.glob("one.old-*"))) == 1


def test_a_warning_of_the_manifest_is_told_unless_quiet(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, temperature=0.5, top_p=0.5)
    warned = shell("validate", "--config", path)
    assert warned.code == 0
    loud = shell.run(path)
    assert loud.code == 0
    told = [line for line in warned.err.splitlines() if line]
    assert all(line in loud.err for line in told)
    assert shell.run(path, "--quiet").err == ""


def test_a_failure_of_the_provider_tells_how_to_resume(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "own_refusing_client.py").write_text(
        "from profiler import CallError\n"
        "class Client:\n"
        "    def __init__(self, experiment): pass\n"
        "    async def complete(self, request): raise CallError('authentication', 'bad key', fatal=True)\n"
    )
    path = manifest(tmp_path, client="own_refusing_client:Client")
    said = shell.run(path, "--fresh", "--limit", "3")
    assert (said.code, said.out) == (3, "")
    assert "error: the provider refuses to go on: bad key" in said.err
    assert f"resume with: profiler run --config {path} --output-dir {shell.runs} --mode mock --limit 3\n" in said.err


FACTS = "no dialogue has required_facts, so fact_coverage is null, and so is geometric_mean"


def test_a_dataset_without_facts_is_told_before_and_has_no_coverage(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path)
    rows = [{"dialogue_id": f"d{index}", "user": "q", "facts": ["q"]} for index in range(4)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    hint = "did you mean 'required_facts' where it says 'facts'? dataset_fields: {required_facts: facts} reads it so"
    warning = f"one: {FACTS}; {hint}\n"
    assert warning in shell("validate", "--config", path).err
    assert warning[:-1] in shell("validate", "--config", path, "--json").json["warnings"]
    assert FACTS in shell.run(path, "--dry-run").out.replace("\n", " ")
    said = shell.run(path)
    assert warning in said.err
    assert said.err.index(FACTS) < said.err.index("4 dialogues in")
    found = shell("summarize", "--log-dir", shell.runs, "--json").json
    assert (found["fact_coverage"], found["geometric_mean"]) == (None, None)
    assert found["metrics"]["fact_coverage"] == {"value": None, "n": 0, "ci95": None}


def test_refusals_that_were_expected_are_a_metric_with_its_parts(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, metrics=["refusal_as_expected"])
    assert "no dialogue has expect_refusal, so refusal_as_expected is null" in shell("validate", "--config", path).err
    rows = [{"dialogue_id": f"d{index}", "user": "q", "expect_refusal": index == 0} for index in range(4)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    found = shell.run(path, "--json").json["experiments"][0]["summary"]
    assert found["refusal_as_expected"] == 1.0  # the mock refuses what is expected to be refused
    parts = found["metrics"]["refusal_as_expected"]
    assert (parts["over_refusal"]["value"], parts["over_refusal"]["n"]) == (0.0, 3)
    assert (parts["under_refusal"]["value"], parts["under_refusal"]["n"]) == (0.0, 1)


# --- summarize ----------------------------------------------------------------------------------------------------


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


# --- the others ---------------------------------------------------------------------------------------------------


def test_a_valid_manifest_is_told_with_what_it_would_ask(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    said = shell("validate", "--config", path)
    assert said.code == 0
    assert said.out.splitlines()[0] == f"a1: 4 dialogues of {tmp_path}/data.json to m"
    assert said.out.splitlines()[-1] == f"{path} is valid"
    found = shell("validate", "--config", path, "--select", "b*", "--json").json
    assert (found["valid"], found["warnings"]) == (True, [])
    assert found["experiments"] == [
        {"experiment_id": "b1", "model": "m", "dataset": f"{tmp_path}/data.json", "dialogues": 4}
    ]


def test_a_bad_dataset_and_a_bad_metric_are_not_valid(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, metrics=["no_such_module:metric"])
    assert "cannot import 'no_such_module'" in shell("validate", "--config", path).err
    path = manifest(tmp_path)
    (tmp_path / "data.json").write_text('[{"dialogue_id": "a", "user": 3}]')
    said = shell("validate", "--config", path, "--json")
    assert (said.code, said.out) == (2, "")
    assert "data.json:1:" in said.err


def test_the_schema_is_printed(shell: Shell) -> None:
    said = shell("schema")
    assert (said.code, said.err) == (0, "")
    assert said.json == json.loads(json.dumps(manifest_schema()))


@pytest.mark.parametrize(("folder", "way"), [(".", "now: profiler run"), ("there", "now: cd there && profiler run")])
def test_init_says_how_to_go_on_from_here(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert way in shell("init", folder).err


def test_init_writes_a_sample_that_runs_as_it_is(shell: Shell, tmp_path: Path) -> None:
    said = shell("init", tmp_path / "my project")
    assert said.code == 0
    assert all(Path(line).is_file() for line in said.out.splitlines())
    assert f"cd '{tmp_path}/my project' && profiler run" in said.err
    done = shell.run(tmp_path / "my project" / "configs" / "sample_experiment.yaml", "--json")
    assert done.json["experiments"][0]["summary"]["geometric_mean"] == 0.7698
    assert shell("init", tmp_path / "my project").code == 2


def test_the_doctor_tells_the_state_of_the_machine(shell: Shell, tmp_path: Path) -> None:
    said = shell("doctor", "--output-dir", tmp_path)
    assert said.code == 0
    assert "FAIL" not in said.out
    checks = shell("doctor", "--output-dir", tmp_path, "--json").json["checks"]
    assert [set(check) for check in checks] == [{"name", "ok", "found"}] * len(checks)
    assert len(checks) == len(said.out.splitlines())


def test_a_machine_that_is_not_fit_is_exit_code_2(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profiler.cli.doctor.LEAST_FREE_BYTES", 1 << 80)
    said = shell("doctor", "--output-dir", tmp_path)
    assert said.code == 2
    assert "FAIL  disk" in said.out


# --- mode and progress --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "environ", "mode"),
    [
        ("auto", {}, "mock"),
        ("auto", {"ANTHROPIC_API_KEY": ""}, "mock"),
        ("auto", {"ANTHROPIC_API_KEY": "k"}, "live"),
        ("auto", {"ANTHROPIC_AUTH_TOKEN": "t"}, "mock"),
        ("mock", {"ANTHROPIC_API_KEY": "k"}, "mock"),
        ("live", {}, "live"),
    ],
)
def test_auto_is_live_if_and_only_if_a_key_is_set(asked: str, environ: dict[str, str], mode: str) -> None:
    assert choose_mode(asked, environ) == mode


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("term", "encoding", "drawn"),
    [("xterm", "utf-8", "panel_on"), ("dumb", "utf-8", "lines_to"), ("xterm", "ascii", "lines_to")],
)
def test_the_panel_is_drawn_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, term: str, encoding: str, drawn: str
) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setattr(terminal, "encoding", encoding, raising=False)
    monkeypatch.setenv("TERM", term)
    assert drawn_on(sys.stderr).__qualname__.startswith(drawn)


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert drawn_on(sys.stderr).__qualname__.startswith("lines_to")


def test_runs_that_were_moved_aside_are_not_summed_up_with_the_others(shell: Shell) -> None:
    shell.run(SAMPLE)
    shell.run(SAMPLE, "--fresh")
    assert len(list(shell.runs.iterdir())) == 2
    assert shell("summarize", "--log-dir", shell.runs, "--json").json["run"]["experiment_id"] == "demo_run"


def test_a_usage_in_the_mocks_file_that_cannot_be_counted_is_told_beforehand_and_does_not_stop_the_run(
    shell: Shell, tmp_path: Path
) -> None:
    usages: list[Any] = [-1, 12.0, True, 10**18, "12", [1]]
    answers = {f"d{index}": {"completion": "x", "usage": {"input_tokens": usages[index]}} for index in range(3)}
    answers["d3"] = {"completion": "x", "usage": usages}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    config = manifest(tmp_path, mock={"responses_path": "answers.json"})

    checked, ran = shell("validate", "--config", config), shell.run(config)

    words = "'d0': usage.input_tokens: found -1 (a whole number), expected a whole number from 0 to 9007199254740992"
    assert (checked.code, ran.code) == (0, 0)
    assert f"answers.json: {words}, and 3 more like it; such a usage is null in the log" in checked.err
    assert ran.err.count("is null and its cost unknown") == 1
    records = [json.loads(line) for line in (tmp_path / "runs" / "one" / "responses.jsonl").read_text().splitlines()]
    assert [(record["completion"], record["usage"]) for record in records] == [("x", None)] * 4


def test_a_client_that_cannot_be_loaded_is_not_valid(shell: Shell, tmp_path: Path) -> None:
    assert (
        "cannot import 'no_such_module'"
        in shell("validate", "--config", manifest(tmp_path, client="no_such_module:x")).err
    )
    assert "cannot be called" in shell("validate", "--config", manifest(tmp_path, client="json:__name__")).err


OWN = """
from profiler import Reply

closed = []

class Client:
    def __init__(self, experiment):
        self.experiment = experiment

    async def complete(self, request):
        import asyncio
        await asyncio.sleep(0.001)
        return Reply(completion="mine", stop_reason="end_turn", model="m", usage={"input_tokens": 1, "output_tokens": 1})

    async def aclose(self):
        (self.experiment.dataset_path.parent / "closed").touch()
"""


def test_an_own_client_is_named_wherever_the_mock_would_be_is_timed_and_is_closed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "my_own_client.py").write_text(OWN)

    ran = shell.run(manifest(tmp_path, client="my_own_client:Client"))

    assert ran.code == 0, ran
    assert "MODE: MOCK — 1 experiment, answered by own client my_own_client:Client; whether that asks" in ran.err
    assert "MODE: MOCK - answered by own client my_own_client:Client; whether a model was called" in ran.out
    assert "deterministic mock" not in ran.out + ran.err
    assert "no model was called" not in ran.out + ran.err
    told = json.loads((tmp_path / "runs" / "one" / "summary.json").read_text())
    assert (told["run"]["mode"], told["run"]["client"]) == ("mock", "own client my_own_client:Client")
    assert told["latency_s"]["p50"] > 0
    assert (tmp_path / "closed").exists()


def test_answers_of_an_own_client_are_not_those_of_the_mock(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "my_own_client.py").write_text(OWN)
    shell.run(manifest(tmp_path, client="my_own_client:Client"))

    mocked = shell.run(manifest(tmp_path))

    assert mocked.code == 2
    assert "client: the run has 'my_own_client:Client', now it is None" in mocked.err


def test_a_key_under_another_name_is_told(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_APIKEY", "k")

    for said in (shell.run(manifest(tmp_path)).err, shell("doctor").out):
        assert "ANTHROPIC_APIKEY is" in said
        assert "ANTHROPIC_API_KEY" in said


def test_an_address_with_a_part_too_many_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d"), base_url="https://gate/v1/")

    [hint] = hints("live", [asked, asked], {"ANTHROPIC_API_KEY": "k"})

    assert (
        hint
        == "hint: base_url: https://gate/v1 ends with /v1, which is added to it: requests go to https://gate/v1/v1/messages"
    )
    assert list(hints("mock", [asked], {})) == []


def test_a_run_whose_id_looks_like_one_moved_aside_is_shown(shell: Shell, tmp_path: Path) -> None:
    shell.run(manifest(tmp_path, experiment_id="mine.old-fashioned"))
    shell.run(manifest(tmp_path, experiment_id="one"))
    shell.run(manifest(tmp_path, experiment_id="one"), "--fresh")

    said = shell("summarize", "--log-dir", tmp_path / "runs", "--json").json

    assert [each["run"]["experiment_id"] for each in said["summaries"]] == ["mine.old-fashioned", "one"]


def test_the_first_dialogues_can_be_seen_as_they_will_be_asked(shell: Shell, tmp_path: Path) -> None:
    rows = [{"q": f"Question {n}?\x1b[31m", "a": n, "level": "easy"} for n in range(5)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "m.yaml").write_text(
        "{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, system: Be brief., dataset_path: d.jsonl,"
        " dataset_fields: {user: q, expected: a, dialogue_id: {line: true}}}"
    )
    said = shell("validate", "--config", tmp_path / "m.yaml", "--show", "2")
    assert said.code == 0
    assert "1\n  system: Be brief.\n  user: Question 0?\\x1b[31m\n  expected: 0\n" in said.out
    assert "Question 1?" in said.out
    assert "Question 2?" not in said.out

    shown = shell("validate", "--config", tmp_path / "m.yaml", "--show", "1", "--json").json["dialogues"]["e"]
    shell("run", "--config", tmp_path / "m.yaml", "--output-dir", tmp_path / "runs", "--quiet")
    logged = (tmp_path / "runs" / "e" / "requests.jsonl").read_text().splitlines()
    assert shown == [json.loads(logged[0])]
    assert json.loads(logged[0])["expected"] == 0


def test_other_names_for_the_keys_of_a_dataset_are_another_run(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"dialogue_id": "x", "q": "one", "r": "two"}) + "\n")
    text = (
        "{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl, dataset_fields: {user: %s}}"
    )
    command = ("run", "--config", tmp_path / "m.yaml", "--output-dir", tmp_path / "runs", "--quiet")
    (tmp_path / "m.yaml").write_text(text % "q")
    assert shell(*command).code == 0
    (tmp_path / "m.yaml").write_text(text % "r")
    said = shell(*command)
    assert said.code == 2
    assert "dataset_fields.user: the run has 'q', now it is 'r'" in said.err


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("{usr: q}", "did you mean 'user'"),
        ("{user: q, messages: m}", "found user and messages, expected one of user, messages and turns"),
        ("{user: {line: true}}", "only dialogue_id can be the number of the line"),
        ("{dialogue_id: {line: false}}", "dialogue_id"),
        ("{user: 3}", "user"),
    ],
)
def test_dataset_fields_that_make_no_sense_are_refused(shell: Shell, tmp_path: Path, fields: str, fault: str) -> None:
    (tmp_path / "d.jsonl").write_text("{}")
    (tmp_path / "m.yaml").write_text(
        f"{{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl, dataset_fields: {fields}}}"
    )
    said = shell("validate", "--config", tmp_path / "m.yaml")
    assert said.code == 2
    assert fault in said.err
    assert "m.yaml:1:" in said.err


def judged_manifest(folder: Path, metrics: str, rows: list[dict[str, object]]) -> Path:
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "answers.json").write_text(
        json.dumps({str(row["dialogue_id"]): {"completion": "The answer is 8."} for row in rows})
    )
    (folder / "m.yaml").write_text(
        "experiment_id: e\nmodel: claude-haiku-4-5\nmax_tokens: 9\ndataset_path: d.jsonl\n"
        f"mock: {{responses_path: answers.json}}\nmetrics: {metrics}\n"
    )
    return folder / "m.yaml"


EIGHTS: list[dict[str, object]] = [
    {"dialogue_id": "a", "user": "5+3?", "expected": 8},
    {"dialogue_id": "b", "user": "5+4?", "expected": 9},
    {"dialogue_id": "c", "user": "anything"},
]


def test_answers_are_compared_with_what_is_expected(shell: Shell, tmp_path: Path) -> None:
    path = judged_manifest(tmp_path, "[{name: sum_ok, numeric: {}}, contains, {regex: {pattern: '^The'}}]", EIGHTS)
    command = ("run", "--config", path, "--output-dir", tmp_path / "runs", "--json", "--quiet")
    assert shell(*command).code == 0
    summary = json.loads((tmp_path / "runs/e/summary.json").read_text())
    assert (summary["sum_ok"], summary["metrics"]["sum_ok"]["n"]) == (0.5, 2)
    assert (summary["contains"], summary["regex"]) == (0.5, 1.0)
    assert summary["run"]["metrics"] == [{"name": "sum_ok", "numeric": {}}, "contains", {"regex": {"pattern": "^The"}}]
    scores = [json.loads(line)["scores"] for line in (tmp_path / "runs/e/scores.jsonl").read_text().splitlines()]
    assert [each["sum_ok"] for each in scores] == [True, False, None]

    again = shell("summarize", "--log-dir", tmp_path / "runs", "--recompute", "--json").json
    assert json.dumps(again).count('"sum_ok"') >= 2

    # Other metrics never ask anything: the answers are counted again.
    judged_manifest(tmp_path, "[{name: sum_ok, numeric: {absolute: 1}}]", EIGHTS)
    said = shell("run", "--config", path, "--output-dir", tmp_path / "runs")
    assert "counted again from the logs" in said.err
    assert json.loads((tmp_path / "runs/e/summary.json").read_text())["sum_ok"] == 1.0


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("[{regex: {pattern: '(?=x)'}}]", "m.yaml:6:29: found '(?=x)', expected a regular expression"),
        ("[{exact_match: {extract: '('}}]", "expected a regular expression"),
        ("[{json_schema: {schema: {type: objekt}}}]", "found no JSON Schema that can be checked: $.type"),
        ("[{json_schema: {}}]", "found no 'schema'"),
        ("[regex]", "m.yaml:6:"),
        ("[{exact_match: {}, contains: {}}]", "found exact_match and contains, expected one of exact_match"),
        ("[{name: x}]", "found no metric, expected one of exact_match"),
        ("[{exact_match: {normalise: []}}]", "did you mean 'normalize'?"),
        ("[{exact_match: {normalize: [casing]}}]", "did you mean 'case'?"),
        ("[contains, {contains: {}}]", "found 'contains' a second time"),
    ],
)
def test_a_metric_that_cannot_be_used_is_told_with_its_place(
    shell: Shell, tmp_path: Path, metrics: str, said: str
) -> None:
    found = shell("validate", "--config", judged_manifest(tmp_path, metrics, EIGHTS))
    assert found.code == 2
    assert said in found.err


@pytest.mark.parametrize("command", [("validate",), ("run", "--dry-run"), ("run",)])
def test_a_comparison_with_nothing_is_refused_before_anything_is_asked(
    shell: Shell, tmp_path: Path, command: tuple[str, ...]
) -> None:
    rows: list[dict[str, object]] = [{"dialogue_id": "a", "user": "5+3?", "answer": "8"}]
    path = judged_manifest(tmp_path, "[exact_match, length]", rows)
    more = ("--output-dir", tmp_path / "runs") if command[0] == "run" else ()
    said = shell(*command, "--config", path, *more)
    assert said.code == 2
    assert "d.jsonl:1: no dialogue has expected, which exact_match would compare answers with" in said.err
    assert "dataset_fields: {expected: answer}" in said.err
    assert not (tmp_path / "runs" / "e" / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("metric", "expected", "said"),
    [
        ("numeric", "eight", "expected is 'eight', and numeric compares with one number"),
        ("choice", ["A", "F"], "expected is 'F', which is none of the choices A, B, C, D, E"),
    ],
)
@pytest.mark.parametrize("command", [("validate",), ("run", "--dry-run"), ("run",)])
def test_an_expectation_that_a_metric_cannot_compare_with_is_refused_with_its_line(
    shell: Shell, tmp_path: Path, command: tuple[str, ...], metric: str, expected: object, said: str
) -> None:
    right = 8 if metric == "numeric" else "B"
    rows: list[dict[str, object]] = [
        {"dialogue_id": "a", "user": "5+3?", "expected": right},
        {"dialogue_id": "b", "user": "5+4?", "expected": expected},
    ]
    path = judged_manifest(tmp_path, f"[{metric}]", rows)
    more = ("--output-dir", tmp_path / "runs") if command[0] == "run" else ()
    told = shell(*command, "--config", path, *more)
    assert told.code == 2
    assert f"d.jsonl:2: {said} (dialogue 'b', metric {metric})" in told.err
    assert not (tmp_path / "runs" / "e" / "responses.jsonl").exists()
    if command == ("run",):
        assert shell(*command, "--config", path, *more, "--limit", "1").code == 0


def chosen_manifest(folder: Path, count: int = 40) -> Path:
    rows = [
        {"dialogue_id": f"d{n}", "user": "q", "required_facts": ["q"], "tags": ["rare" if n % 10 == 0 else "usual"]}
        for n in range(count)
    ]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "m.yaml"
    path.write_text("{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl}")
    return path


def asked_ids(shell: Shell) -> list[str]:
    lines = [json.loads(line) for line in (shell.runs / "e" / "requests.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return [line["dialogue_id"] for line in lines]


def test_a_run_asks_the_dialogues_that_one_chooses(shell: Shell, tmp_path: Path) -> None:
    path = chosen_manifest(tmp_path)
    (tmp_path / "ids.txt").write_text("\ufeffd7\r\n\nd3\n")

    assert shell.run(path, "--ids", "d30, d2", "--ids-from", str(tmp_path / "ids.txt")).code == 0
    assert asked_ids(shell) == ["d2", "d3", "d7", "d30"]
    assert shell.run(path, "--fresh", "--tag", "rare", "--limit", "3").code == 0
    assert asked_ids(shell) == ["d0", "d10", "d20"]
    assert shell.run(path, "--fresh", "--sample", "10", "--by", "tag").code == 0
    pilot = asked_ids(shell)
    assert len([name for name in pilot if name.endswith("0")]) == 1
    assert shell.run(path, "--fresh", "--sample", "20", "--by", "tag").code == 0
    assert set(pilot) < set(asked_ids(shell))
    assert json.loads((shell.runs / "e" / "summary.json").read_text())["counts"]["total"] == 20


def test_another_choice_is_another_run(shell: Shell, tmp_path: Path) -> None:
    path = chosen_manifest(tmp_path)
    assert shell.run(path, "--sample", "10").code == 0
    assert "already complete" in shell.run(path, "--sample", "10").err
    for words in (("--sample", "10", "--seed", "1"), ("--sample", "11"), ("--ids", "d1"), ("--tag", "rare"), ()):
        said = shell.run(path, *words)
        assert said.code == 2
        assert "selection" in said.err


def test_a_dry_run_reckons_what_is_chosen(shell: Shell, tmp_path: Path) -> None:
    path = chosen_manifest(tmp_path)
    [found] = shell.run(path, "--dry-run", "--json", "--tag", "rare").json["dry_run"]
    assert found["dialogues"] == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ids", "d1,d99"), "no dialogue has the id 'd99'"),
        (("--ids", " , "), "--ids: found no id"),
        (("--ids-from", "nowhere.txt"), "nowhere.txt: cannot be read"),
        (("--tag", "none"), "none of its 40 dialogues is selected"),
        (("--seed", "3"), "add --sample N"),
        (("--by", "tag"), "add --sample N"),
        (("--sample", "0"), "at least 1"),
    ],
)
def test_a_choice_of_nothing_is_a_mistake(shell: Shell, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    path = chosen_manifest(tmp_path)
    try:
        found = shell.run(path, *words)
    except SystemExit as left:
        found = Said(int(str(left.code)), *shell.capsys.readouterr())
    assert found.code == 2
    assert said in found.err
    assert not (shell.runs / "e" / "journal.jsonl").exists()


def test_after_a_run_the_commands_that_one_wants_next_are_named_and_work(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    first, second, third = (str(shell.runs / name) for name in ("a1", "a2", "b1"))
    lines = shell.run(path).err.splitlines()
    assert f"next: profiler compare {first} {second} {third}" in lines
    assert f"next: profiler report {first} {second} {third} -o report.html" in lines

    assert not [line for line in shell.run(manifest(tmp_path)).err.splitlines() if "profiler compare" in line]
    again = shell.run(manifest(tmp_path), "--fresh").err.splitlines()
    (compare,) = [line for line in again if line.startswith("next: profiler compare")]
    assert compare.endswith(f" {shell.runs / 'one'}")
    words = compare.removeprefix("next: profiler ").split()
    assert "one (new)" in shell(*words).out
    assert shell.run(manifest(tmp_path), "--quiet").err == ""
