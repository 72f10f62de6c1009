"""`profiler run`: what it asks, prints and ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.profiler.cli.shell import SAMPLE, Shell, manifest, several


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
    again = shell.run(path, "--retry-failed").err.splitlines()
    assert again[again.index(lines[first]) + 3] == lines[first + 3]  # the flag stands there once


def test_why_a_dialogue_failed_is_told_where_the_log_does_not_keep_it(shell: Shell, tmp_path: Path) -> None:
    kept = ["dialogue_id", "index", "type", "completion", "usage", "latency_s"]
    said = shell.run(manifest(tmp_path, mock={"faults": {"invalid_request": 1.0}}, output_fields=kept))
    assert said.code == 0
    assert "'d0' failed, invalid_request: a invalid_request fault asked for by the manifest\n" in said.err
    assert "  4 × the reason is not kept: output_fields in the manifest leaves out 'error' (first: d0)\n" in said.err


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
