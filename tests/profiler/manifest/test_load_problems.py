"""What is wrong with a manifest is told at its place and in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.core.errors import ManifestError
from profiler.manifest.load import load_manifest
from tests.profiler.manifest.loading import BASE, DEFAULTS, load, problem, problems

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("temperature: fast", 14, "found 'fast' (a string), expected a number from 0 to 1"),
        ("temperature: true", 14, "found true (a yes/no value), expected a number from 0 to 1"),
        ("temperature: .nan", 14, "found nan (a number), expected a number from 0 to 1"),
        ("timeout_s: .inf", 12, "found inf (a number), expected a finite number"),
        ("timeout_s: 0", 12, "found 0 (a whole number), expected a number > 0"),
        ("concurrency: 100001", 14, "found 100001 (a whole number), expected a whole number from 1 to 100000"),
        ("concurrency: 2.5", 14, "found 2.5 (a number), expected a whole number from 1 to 100000"),
        ("mock: {seed: 99999999999999999999}", 14, "expected a whole number that fits in 64 bits"),
        ("thinking: {a: [1, {b: .inf}]}", 23, "expected a finite number"),
        ("retry: 3", 8, "found 3 (a whole number), expected a mapping of max_attempts, deadline_s"),
        ("retry: {max_attempts: 0}", 23, "found 0 (a whole number), expected a whole number ≥ 1"),
        ("stop_sequences: [a, 3]", 21, "found 3 (a whole number), expected a string"),
        ("mock: {faults: {fire: 0.1}}", 17, "found the key 'fire', expected one of"),
        ("mock: {faults: {timeout: 0.6, overloaded: 0.6}}", 16, "add up to 1.2, expected at most 1"),
        ("mock: {latency_s: {sigma: 1}}", 19, "found no 'median_s', expected a number ≥ 0"),
        ("mock: {responses_path: gone.json}", 24, "gone.json, expected the answers of the mock"),
        ("base_url: ftp://x", 11, "expected an address that begins with http(s)://"),
        ("log_schema_version: 2", 21, "found 2 (a whole number), expected 1"),
        ("output_fields: [type, completion]", 16, "found no 'dialogue_id', expected it: a line is found again by it"),
        ("output_fields: [dialogue_id, completion]", 16, "found no 'type', expected it"),
        ("output_fields: [dialogue_id, type]", 16, "found no 'completion', expected it: fact_coverage and"),
        ("output_fields: [dialogue_id, type, completion, type]", 48, "found 'type' a second time"),
        ("metrics: [fact_coverge]", 11, "found 'fact_coverge' (a string), expected one of fact_coverage"),
        ("metrics: [fact_coverage, fact_coverage]", 26, "a second time"),
        ("thresholds: {fact_coverge: 1}", 14, "found the threshold 'fact_coverge', expected a metric"),
        ("thresholds: {latency_s.p96: {max: 1}}", 14, "found the threshold 'latency_s.p96', expected a metric"),
        ("thresholds: {latency_s.p95: 2}", 29, "found 2, expected a range: a number alone is a minimum"),
        ("thresholds: {error_rate: {max: 5}}", 26, "outside 0 to 1, where error_rate always lies"),
        ("thresholds: {refusal_as_expected.over_refusal: {max: 0.1}}", 14, "expected a metric of this experiment"),
        ("thresholds: {fact_coverage: 90}", 29, "outside 0 to 1, where fact_coverage always lies"),
        ("thresholds: {fact_coverage: {min: 1, max: 0}}", 29, "found min 1.0 above max 0.0"),
        ("concurency: 3", 1, "found the unknown key 'concurency'"),
    ],
)
def test_what_is_wrong_is_placed_and_said_in_plain_words(line: str, column: int, message: str) -> None:
    found = problem(BASE + line + "\n")
    assert (found.line, found.column, found.source) == (5, column, line)
    assert message in found.message


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("concurency: 3", "did you mean 'concurrency'?"),
        ("metrics: [fact_coverge]", "did you mean 'fact_coverage'?"),
        ("output_fields: [dialogue_id, type, completio]", "did you mean 'completion'?"),
        ("effort: hihg", "did you mean 'high'?"),
        ("thresholds: {fact_coverge: 1}", "did you mean 'fact_coverage'?"),
        ("thresholds: {latency.p95: {max: 1}}", "did you mean 'latency_s.p95'?"),
        ("thresholds: {cost_usd: 2}", "write {max: 2}"),
        ("mock: {faults: {time_out: 0.1}}", "did you mean 'timeout'?"),
        ("concurrency: 1e3", "write 1000"),
        ("concurrency: '3'", "write the number without quotes"),
        ("stop_sequences: [3]", "put the value in quotes"),
        ("12: x", "put the key in quotes"),
    ],
)
def test_a_likely_slip_is_told_how_to_mend_it(line: str, hint: str) -> None:
    assert problem(BASE + line + "\n").hint == hint


def test_a_problem_shows_its_line_and_a_caret() -> None:
    assert str(problem(BASE + "top_k: fast\n")) == (
        "m.yaml:5:8: found 'fast' (a string), expected a whole number ≥ 1\n    top_k: fast\n           ^"
    )


def test_all_problems_are_told_at_once_and_in_order() -> None:
    found = problems(
        "experiment_id: a/b\nmax_tokens: many\ndataset_path: gone.json\ntop_k: 0\ntop_k: 1\nretry: {tries: 3}\n",
        PROFILER_CONCURRENCY="0",
    )
    assert [p.line for p in found] == [None, 1, 1, 2, 3, 4, 5, 6]


def test_a_problem_in_the_defaults_is_told_once() -> None:
    text = "defaults: {model: m, max_tokens: 1, dataset_path: gone.json, output_fields: [type, completion]}\n"
    text += "experiments: [{experiment_id: a}, {experiment_id: b}]\n"
    assert [p.line for p in problems(text)] == [1, 1]


@pytest.mark.parametrize("key", ["experiment_id", "model", "max_tokens", "dataset_path"])
def test_a_missing_key_is_placed_at_its_experiment(key: str) -> None:
    entry = {"experiment_id": "a", "model": "m", "max_tokens": 1, "dataset_path": "data.json"}
    del entry[key]
    found = problem(f"experiments:\n  - {entry}\n")
    assert (found.line, found.column) == (2, 5)
    assert f"found no {key!r}" in found.message


@pytest.mark.parametrize(("key", "wrong"), [("max_tokens", "max_token"), ("dataset_path", "dataset_pth")])
def test_a_mistyped_key_is_not_missed_as_well(key: str, wrong: str) -> None:
    found = problem(BASE.replace(key, wrong))
    assert (found.message, found.hint) == (f"found the unknown key {wrong!r}", f"did you mean {key!r}?")


def test_a_mistyped_metric_is_not_told_what_a_metric_with_options_holds() -> None:
    assert problem(BASE + "metrics: [fact_coverge]\n").message.endswith("tokens_per_s, or module:attribute")
    assert "or a mapping of name, exact_match" in problem(BASE + "metrics: [3]\n").message


@pytest.mark.parametrize(
    ("text", "wrong", "hint"),
    [
        (BASE + "matrx: {temperature: [0, 1]}\n", "matrx", "did you mean 'matrix'?"),
        ("experiment: [{experiment_id: a}]\n", "experiment", "did you mean 'experiments'?"),
        ("default: {model: m}\n", "default", "did you mean 'defaults'?"),
        ("defaults: {model: m}\nexperiment: [{experiment_id: a}]\n", "experiment", "did you mean 'experiments'?"),
    ],
)
def test_a_mistyped_key_that_makes_many_experiments_is_guessed(text: str, wrong: str, hint: str) -> None:
    found = {each.message.removesuffix(" beside 'experiments'"): each.hint for each in problems(text)}
    assert found[f"found the unknown key {wrong!r}"] == hint
    assert not any("known here" in (hint or "") for hint in found.values())


def test_a_mistyped_key_of_a_section_is_not_missed_as_well() -> None:
    found = problem(BASE + "mock: {latency_s: {medan_s: 1}}\n")
    assert (found.message, found.hint) == ("found the unknown key 'medan_s'", "did you mean 'median_s'?")


def test_a_key_that_is_mistyped_beside_the_right_one_is_told_alone() -> None:
    assert problem(BASE + "max_token: many\n").message == "found the unknown key 'max_token'"


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("data.jsonl", "found no file {}/data.jsonl", "did you mean 'data.json' in that folder?"),
        ("daat.json", "found no file {}/daat.json", "did you mean 'data.json' in that folder?"),
        ("gone.json", "found no file {}/gone.json", "a relative path starts at the folder of the manifest"),
        ("data/a.json", "found no file {}/data/a.json", "there is no folder {}/data; a relative path starts at"),
        (".", "found the folder {}, expected a file: the dialogues", "name the file in it"),
        ("x" * 300, "found no file {}/xxx", "it cannot be looked at: File name too long"),
    ],
)
def test_a_dataset_that_is_no_file_is_told_with_what_was_probably_meant(
    folder: Path, path: str, message: str, hint: str
) -> None:
    found = problem(BASE.replace("data.json", path))
    assert found.message.startswith(message.format(folder))
    assert found.hint is not None
    assert found.hint.startswith(hint.format(folder))


def test_a_missing_dataset_is_told_with_its_resolved_path(folder: Path) -> None:
    found = problem(BASE.replace("data.json", "sub/../gone.json"))
    assert (found.line, found.column) == (4, 15)
    assert str(folder / "gone.json") in found.message


def test_a_merged_section_points_at_the_line_that_set_each_key() -> None:
    text = "defaults:\n  mock: {responses_path: gone.json}\n"
    text += f"experiments:\n- {{{', '.join(BASE.splitlines())}, mock: {{seed: 1}}}}\n"
    found = problem(text, PROFILER_MOCK__LATENCY_S="1")
    assert (found.line, found.column) == (2, 26)


def test_a_wrong_setting_raises_no_second_complaint_about_what_depends_on_it() -> None:
    found = problem(BASE + "metrics: ['a:b', fact_coverge]\nthresholds: {'a:b': 1}\n")
    assert found.line == 5


def test_a_repeated_experiment_id_is_placed_at_its_second_writing() -> None:
    found = problem(DEFAULTS + "experiments:\n- experiment_id: a\n- experiment_id: a\n")
    assert (found.line, found.column) == (4, 18)
    assert "first on line 3" in found.message


@pytest.mark.parametrize("name", [".", "..", ".a", "a/b", "a\\\\b", "", "ä", "a b", "x" * 129, "a\\n"])
def test_an_id_never_leaves_the_output_directory(name: str) -> None:
    assert "expected a name of at most 128" in problem(BASE.replace(" one", f' "{name}"')).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found an empty file"),
        ("# nothing\n", "found an empty file"),
        ("[1]", "found a list of 1"),
        ("hello", "found 'hello' (a string)"),
        ("experiments: []", "found an empty list"),
        ("experiments: 3", "found 3"),
        ("defaults: {}", "found no experiments"),
        ("experiments: [3]", "expected the mapping of an experiment"),
    ],
)
def test_a_wrong_top_level_is_told(text: str, words: str) -> None:
    assert words in problem(text).message


def test_a_setting_beside_experiments_is_told_where_it_belongs() -> None:
    found = problem(DEFAULTS + "experiments: [{experiment_id: a}]\nmodel: x\n")
    assert found.hint == "put it under defaults, or into each experiment"


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "\0"])
def test_a_manifest_that_cannot_be_read_is_told(path: str) -> None:
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        load_manifest(path, environ={})


def test_what_leaves_holes_in_the_summary_is_a_warning() -> None:
    warnings = load(BASE + "output_fields: [dialogue_id, type, completion, usage]\n").warnings
    assert [(w.line, w.message) for w in warnings] == [
        (5, "found no 'latency_s': latencies will be null in the summary")
    ]


@pytest.mark.parametrize("found", ["0", "-1", "1.5", "yes", "10001"])
def test_a_dialogue_is_asked_a_whole_number_of_times(found: str) -> None:
    only = problem(BASE + f"repeats: {found}\n")
    assert (only.line, only.column) == (5, 10)
    assert "expected a whole number" in only.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pass_at: [1]", "expected repeats beside it"),
        ("repeats: 3\npass_at: [1, 5]", "expected at most repeats, which is 3"),
        ("repeats: 3\npass_at: [2, 2]", "a second time"),
        ("repeats: 3\npass_at: [0]", "expected a whole number"),
        ("repeats: 3\npass_at: [2]\nmetrics: [refusal_rate]\nthresholds: {refusal_rate.pass@3: 1}", "pass@3"),
    ],
)
def test_only_passes_that_repeats_can_tell_are_asked_for(text: str, said: str) -> None:
    assert said in problem(BASE + text).message
