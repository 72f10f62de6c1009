from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.core.errors import ManifestError, Problem
from profiler.core.nouns import Record
from profiler.manifest.environment import RESERVED_ENVIRONMENT, names
from profiler.manifest.load import Bounds, Experiment, Latency, Manifest, MockSettings, load_manifest
from profiler.manifest.measured import Slo
from profiler.manifest.metrics import called, plain
from profiler.manifest.value_types import OutputField

BASE = "experiment_id: one\nmodel: claude-haiku-4-5\nmax_tokens: 16\ndataset_path: data.json\n"
DEFAULTS = "defaults: {model: m, max_tokens: 16, dataset_path: data.json}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str | bytes, *select: str, **environ: str) -> Manifest:
    Path("m.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return load_manifest("m.yaml", select=select, environ=environ)


def one(text: str, **environ: str) -> Experiment:
    [experiment] = load(text, **environ).experiments
    return experiment


def ids(text: str, *select: str) -> list[str]:
    return [experiment.experiment_id for experiment in load(text, *select).experiments]


def problems(text: str | bytes, *select: str, **environ: str) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        load(text, *select, **environ)
    return list(caught.value.problems)


def problem(text: str | bytes, *select: str, **environ: str) -> Problem:
    [only] = problems(text, *select, **environ)
    return only


# What is read


def test_a_single_experiment_needs_four_keys() -> None:
    experiment = one(BASE)
    assert experiment == Experiment(
        experiment_id="one",
        model="claude-haiku-4-5",
        max_tokens=16,
        dataset_path=Path("data.json").resolve(),
        written_in=Path("m.yaml"),
    )


def test_paths_are_relative_to_the_manifest_not_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "m.yaml").write_text(BASE)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    [experiment] = load_manifest("../m.yaml", environ={}).experiments
    assert experiment.dataset_path == folder / "data.json"


def test_the_digest_is_that_of_the_file() -> None:
    manifest = load(BASE)
    digest = subprocess.run(["sha256sum", "m.yaml"], capture_output=True, text=True, check=True).stdout.split()[0]
    assert manifest.sha256 == digest


def test_a_whole_number_is_a_number_where_a_fraction_may_stand() -> None:
    timeout = one(BASE + "timeout_s: 5\n").timeout_s
    assert (timeout, type(timeout)) == (5.0, float)


def test_a_bare_latency_is_a_constant() -> None:
    assert one(BASE + "mock: {latency_s: 0.05}\n").mock.latency == Latency(median_s=0.05)


def test_a_latency_may_be_a_distribution_with_stalls() -> None:
    latency = one(BASE + "mock: {latency_s: {median_s: 1, sigma: 0.5, stalls: {x: 60}}}\n").mock.latency
    assert latency == Latency(median_s=1.0, sigma=0.5, stalls={"x": 60.0})


def test_thresholds_reach_what_is_no_metric() -> None:
    text = (
        BASE
        + "metrics: [refusal_as_expected]\n"
        + (
            "thresholds: {latency_s.p95: {max: 2}, cost_usd: {max: 1}, error_rate: {max: 0.05},"
            " refusal_as_expected.over_refusal: {max: 0.1}, tokens.output: {max: 1000}}\n"
        )
    )
    (found,) = load(text).experiments
    assert found.bounds()["latency_s.p95"].max == 2


def test_limits_of_an_slo_are_a_metric_that_thresholds_may_name() -> None:
    text = BASE + "stream: true\nslo: {ttft_s: 0.8, latency_s: 6}\nthresholds: {goodput: 0.95, ttft_s.p95: {max: 1}}\n"
    found = one(text)

    assert [called(metric) for metric in found.metrics][-1] == "goodput"
    assert plain(found.metrics)[-1] == {"goodput": {"ttft_s": 0.8, "latency_s": 6.0}}
    assert msgspec.structs.replace(found, slo=Slo(latency_s=1)).metrics[:-1] == found.metrics[:-1]


def test_settings_of_an_slo_are_merged_key_by_key() -> None:
    found = one(BASE + "slo: {ttft_s: 0.8, latency_s: 6}\n", PROFILER_SLO__LATENCY_S="7")
    assert found.slo == Slo(ttft_s=0.8, latency_s=7.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slo: {}\n", "found no limit, expected one of ttft_s, latency_s, gap_p95_s, tokens_per_s"),
        ("slo: {ttft: 1, latency_s: 2}\n", "found the unknown key 'ttft'"),
        ("slo: {ttft_s: 0}\n", "found 0"),
        ("metrics: [{goodput: {}}]\n", "found no limit"),
        ("metrics: [{latency_s: {unit: ms}}]\n", "found the unknown key 'unit'"),
        ("metrics: [ttft_s]\nthresholds: {ttft_s: 0.8}\n", "here less is better"),
        ("thresholds: {latency_s.p95: 2}\n", "here less is better"),
        ("output_fields: [dialogue_id, type]\nmetrics: [tokens_per_s]\n", "found no 'tokens_per_s'"),
        ("output_fields: [dialogue_id, type]\nmetrics: [output_tokens]\n", "found no 'usage'"),
        ("output_fields: [dialogue_id, type]\nmetrics: []\nslo: {latency_s: 1}\n", "found no 'latency_s'"),
    ],
)
def test_what_is_wrong_with_a_measured_metric_is_said(text: str, said: str) -> None:
    assert said in problem(BASE + text).message


def test_a_bare_threshold_on_what_should_be_high_is_a_minimum() -> None:
    text = BASE + "metrics: [tokens_per_s]\nthresholds: {tokens_per_s: 20, tokens_per_s.p50: 25}\n"
    assert one(text).bounds()["tokens_per_s.p50"] == Bounds(min=25.0)


def test_a_bare_threshold_is_a_minimum() -> None:
    text = BASE + "thresholds: {fact_coverage: 0.8, refusal_rate: {max: 0.1}}\n"
    assert one(text).bounds() == {"fact_coverage": Bounds(min=0.8), "refusal_rate": Bounds(max=0.1)}


def test_a_metric_of_ones_own_is_named_by_module_and_attribute() -> None:
    assert one(BASE + "metrics: ['my.metrics:length']\n").metrics == ("my.metrics:length",)


def test_the_fields_that_may_be_kept_are_those_of_a_record() -> None:
    assert get_args(OutputField) == Record.__struct_fields__


# Forms: defaults, experiments, matrix


def test_an_experiment_wins_over_the_defaults() -> None:
    text = DEFAULTS + "experiments: [{experiment_id: a}, {experiment_id: b, model: other}]\n"
    assert [experiment.model for experiment in load(text).experiments] == ["m", "other"]


def test_sections_merge_key_by_key() -> None:
    text = (
        "defaults: {model: m, max_tokens: 1, dataset_path: data.json, mock: {seed: 3, latency_s: 1}}\n"
        "experiments: [{experiment_id: a, mock: {latency_s: 2}}]\n"
    )
    assert one(text).mock == MockSettings(seed=3, latency_s=2.0)


@pytest.mark.parametrize("reset", ["mock: null", "mock: {seed: null}"])
def test_null_resets_a_default(reset: str) -> None:
    text = (
        "defaults: {model: m, max_tokens: 1, dataset_path: data.json, mock: {seed: 3}}\n"
        f"experiments: [{{experiment_id: a, {reset}}}]\n"
    )
    assert one(text).mock == MockSettings()


def test_a_matrix_makes_every_combination_the_last_key_fastest() -> None:
    text = BASE + "matrix: {temperature: [0.0, 1], top_k: [5, null]}\n"
    assert ids(text) == ["one-0.0-5", "one-0.0-null", "one-1-5", "one-1-null"]


def test_a_matrix_sets_the_values_it_names() -> None:
    experiments = load(
        "experiment_id: x\nmax_tokens: 1\ndataset_path: data.json\nmatrix: {model: [a, b]}\n"
    ).experiments
    assert [experiment.model for experiment in experiments] == ["a", "b"]


def test_values_that_are_no_ids_are_made_so_and_stay_apart() -> None:
    assert ids(BASE + "matrix: {system: ['Be kind!', 'Be kind?', '../up']}\n") == [
        "one-Be-kind.1",
        "one-Be-kind.2",
        "one-up",
    ]


def test_an_experiments_own_value_wins_over_an_inherited_axis() -> None:
    text = (
        "defaults: {max_tokens: 1, dataset_path: data.json, matrix: {model: [x, y]}}\n"
        "experiments: [{experiment_id: a}, {experiment_id: b, model: z}]\n"
    )
    assert ids(text) == ["a-x", "a-y", "b"]


def test_a_matrix_of_more_than_a_hundred_thousand_is_refused() -> None:
    values = list(range(1, 400))
    found = problem(BASE + f"matrix: {{top_k: {values}, concurrency: {values}}}\n")
    assert "more than 100,000 experiments" in found.message


def test_a_cap_beside_the_experiments_is_that_of_all_of_them() -> None:
    text = DEFAULTS + "max_cost_usd: 2.5\nexperiments: [{experiment_id: a}, {experiment_id: b, max_cost_usd: 1}]\n"
    found = load(text)
    assert found.max_cost_usd == 2.5
    assert [each.max_cost_usd for each in found.experiments] == [None, 1.0]
    assert problem(text.replace("2.5", "-1")).line == 2


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ("{experiment_id: [a]}", "expected a key that holds one value"),
        ("{metrics: [[fact_coverage]]}", "expected a key that holds one value"),
        ("{modle: [a]}", "expected a key that holds one value"),
        ("{top_k: []}", "expected a list of at least one value"),
        ("{top_k: 3}", "expected a list of at least one value"),
        ("{top_k: [1, 1]}", "a second time"),
        ("{temperature: [0, 0.0]}", "found 0.0 (a number) a second time"),
        ("{top_k: [1, fast]}", "found 'fast' (a string), expected a whole number ≥ 1"),
        ("{model: [a, b]}", "in the matrix and beside it"),
        ("[a]", "expected a mapping of keys to lists"),
    ],
)
def test_a_wrong_matrix_is_told(matrix: str, words: str) -> None:
    assert words in problem(BASE + f"matrix: {matrix}\n").message


# Selection


def test_select_keeps_the_order_of_the_file() -> None:
    text = DEFAULTS + "experiments: [{experiment_id: a1}, {experiment_id: b}, {experiment_id: a2}]\n"
    assert ids(text, "b", "a*") == ["a1", "b", "a2"]
    assert ids(text, "a*") == ["a1", "a2"]


def test_a_glob_that_matches_nothing_lists_the_ids() -> None:
    found = problem(BASE, "oen")
    assert (found.place, found.hint) == ("--select oen", "did you mean 'one'?")
    assert "one" in found.message


def test_a_typo_in_an_experiment_that_is_not_selected_is_told() -> None:
    text = DEFAULTS + "experiments: [{experiment_id: a}, {experiment_id: b, modle: x}]\n"
    assert problem(text, "a").hint == "did you mean 'model'?"


def test_a_missing_file_of_an_experiment_that_is_not_selected_is_not_told() -> None:
    text = DEFAULTS + "experiments: [{experiment_id: a}, {experiment_id: b, dataset_path: gone.json}]\n"
    assert ids(text, "a") == ["a"]


# Problems and their places


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


# Environment


def test_a_variable_overrides_every_experiment() -> None:
    text = DEFAULTS + "experiments: [{experiment_id: a}, {experiment_id: b, max_tokens: 3}]\n"
    assert [e.max_tokens for e in load(text, PROFILER_MAX_TOKENS="7").experiments] == [7, 7]


def test_a_double_underscore_reaches_into_a_section() -> None:
    experiment = one(BASE + "retry: {deadline_s: 5}\n", PROFILER_RETRY__MAX_ATTEMPTS="9")
    assert (experiment.retry.max_attempts, experiment.retry.deadline_s) == (9, 5.0)


def test_text_from_the_environment_is_taken_as_it_stands() -> None:
    assert one(BASE, PROFILER_SYSTEM="no: [1").system == "no: [1"


def test_lists_from_the_environment_are_yaml() -> None:
    assert one(BASE, PROFILER_METRICS="[refusal_rate]").metrics == ("refusal_rate",)


def test_an_empty_variable_counts_as_unset() -> None:
    assert one(BASE, PROFILER_MODEL="").model == "claude-haiku-4-5"


def test_a_dataset_from_the_environment_is_relative_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "m.yaml").write_text(BASE)
    (folder / "here").mkdir()
    (folder / "here/other.json").write_text("[]")
    monkeypatch.chdir(folder / "here")
    [experiment] = load_manifest("../m.yaml", environ={"PROFILER_DATASET_PATH": "other.json"}).experiments
    assert experiment.dataset_path == folder / "here/other.json"


@pytest.mark.parametrize("name", sorted(RESERVED_ENVIRONMENT))
def test_reserved_variables_are_left_to_the_command_line(name: str) -> None:
    assert one(BASE, **{name: "x"}).experiment_id == "one"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PROFILER_MODLE", "x", "unknown variable"),
        ("PROFILER_EXPERIMENT_ID", "x", "in the manifest only"),
        ("PROFILER_MATRIX", "{}", "in the manifest only"),
        ("PROFILER_MAX_TOKENS", "many", "found 'many' (a string), expected a whole number ≥ 1"),
        ("PROFILER_MAX_TOKENS", "[", "not YAML"),
        ("PROFILER_MODEL", "\udcff", "expected text in UTF-8"),
        ("PROFILER_RETRY__TRIES", "3", "unknown variable"),
        ("PROFILER_OUTPUT_DIR", "x", "unknown variable"),
        ("PROFILER_LOG_LEVEL", "x", "unknown variable"),
    ],
)
def test_a_wrong_variable_is_placed_at_its_name(name: str, value: str, words: str) -> None:
    found = problem(BASE, **{name: value})
    assert found.place == f"environment:{name}"
    assert words in found.message


def test_a_misspelt_variable_is_told_the_right_one() -> None:
    assert problem(BASE, PROFILER_MODLE="x").hint == "did you mean 'PROFILER_MODEL'?"


def test_an_override_of_what_a_matrix_varies_is_refused() -> None:
    assert "which a matrix varies" in problem(BASE + "matrix: {top_k: [1, 2]}\n", PROFILER_TOP_K="3").message


def test_the_environment_of_the_process_is_used_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.yaml").write_text(BASE)
    monkeypatch.setitem(os.environ, "PROFILER_TOP_K", "5")
    assert load_manifest("m.yaml").experiments[0].top_k == 5


def test_no_variable_is_both_a_setting_and_reserved() -> None:
    assert RESERVED_ENVIRONMENT.isdisjoint(names())


# Hostile input

SAMPLE = (Path(__file__).parents[3] / "configs/sample_experiment.yaml").read_bytes()
RICH = (
    BASE + "mock: {latency_s: {median_s: 1, stalls: {a: 2}}, faults: {timeout: 0.1}}\n"
    "thresholds: {fact_coverage: {min: 0.1}}\nmatrix: {top_k: [1, 2]}\nretry: &r {max_attempts: 2}\n"
).encode()
_SETTINGS = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
_KEYS = st.sampled_from([*Experiment.__struct_fields__, "matrix", "defaults", "experiments", "seed", "stalls", "<<"])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "a:b", "low"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def only_placed_problems(data: bytes) -> None:
    found = told(data)
    assert all(problem.place.startswith("m.yaml:") for problem in found)


def told(data: bytes) -> tuple[Problem, ...]:
    try:
        load(data)
    except ManifestError as error:
        return error.problems
    return ()


@_SETTINGS
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_places(data: bytes) -> None:
    only_placed_problems(data)


@_SETTINGS
@given(st.sampled_from([SAMPLE, RICH]), st.integers(0, 2**32))
def test_mutated_manifests_load_or_are_refused_with_places(text: bytes, seed: int) -> None:
    only_placed_problems(mutated(text, random.Random(seed)))


@_SETTINGS
@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_random_structures_load_or_are_refused_with_places(value: dict[str, Any]) -> None:
    only_placed_problems(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@_SETTINGS
@given(_KEYS, _VALUES)
def test_one_random_value_in_a_good_manifest_loads_or_is_refused_with_places(key: str, value: Any) -> None:
    good = {"experiment_id": "a", "model": "m", "max_tokens": 1, "dataset_path": "data.json", key: value}
    only_placed_problems(yaml.safe_dump(good, sort_keys=False).encode())


def mutated(text: bytes, rng: random.Random) -> bytes:
    data = bytearray(text)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        data[at : at + rng.randint(0, 4)] = rng.choice(
            [b"", b" ", b"\n", b"&r ", b"*r", b"<<: ", b"{", b"]", b"\xff", b"0"]
        )
        data = data or bytearray(b"x")
    return bytes(data)


# Start-up


def test_reading_manifests_imports_nothing_slow() -> None:
    code = "import sys, profiler.manifest.load; print(sorted({'pydantic', 'rich', 'anthropic', 'aiofiles'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("found", ["0", "-1", "1.5", "yes", "10001"])
def test_a_dialogue_is_asked_a_whole_number_of_times(found: str) -> None:
    only = problem(BASE + f"repeats: {found}\n")
    assert (only.line, only.column) == (5, 10)
    assert "expected a whole number" in only.message


def test_a_matrix_may_vary_how_often_dialogues_are_asked() -> None:
    assert ids(BASE + "matrix: {repeats: [1, 3]}\n") == ["one-1", "one-3"]


# What is sent


SENT = """
tools:
  - {name: look_up, input_schema: {type: object}}
  - input_schema: {type: object}
tool_choice: {type: tool, name: other}
output_format: {type: json_schema, schema: {type: objct}}
request:
  model: x
"""


def test_mistakes_in_what_is_sent_are_told_where_they_stand() -> None:
    found = {(p.line, p.column): p.message for p in problems(BASE + SENT)}

    assert list(found) == [(8, 5), (9, 33), (10, 44), (12, 3)]
    assert found[8, 5] == "found no 'name', expected it"
    assert found[9, 33] == "found the tool 'other', expected one of look_up"
    assert found[10, 44].startswith("found no JSON Schema that answers can be checked with: $.type: 'objct'")
    assert found[12, 3] == "found 'model', which is not sent as it stands"


def test_request_is_merged_key_by_key_and_null_takes_a_key_away() -> None:
    text = DEFAULTS.replace("}", ", request: {a: 1, b: {c: null}}}")
    experiments = load(text + "experiments:\n- {experiment_id: x, request: {a: null, d: [1]}}\n").experiments

    assert [each.request for each in experiments] == [{"b": {"c": None}, "d": [1]}]


@pytest.mark.parametrize("provider", ["bedrock", "vertex"])
def test_a_version_that_a_platform_would_not_look_at_is_refused(provider: str) -> None:
    assert problem(BASE + f"provider: {provider}\napi_version: 2023-06-01\n").message == (
        f"found api_version with provider {provider}, which has a version of its own"
    )


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


def test_thresholds_may_be_set_on_passes() -> None:
    text = "repeats: 3\npass_at: [2]\nmetrics: [refusal_rate]\nthresholds: {refusal_rate.pass^2: {max: 0.5}}"
    assert one(BASE + text).bounds() == {"refusal_rate.pass^2": Bounds(max=0.5)}


# What a matrix may vary


def varied(matrix: str, more: str = "") -> dict[str, Experiment]:
    text = BASE.replace("data.json\n", f"data.json\n{more}matrix: {matrix}\n")
    return {each.experiment_id: each for each in load(text).experiments}


def test_a_matrix_varies_keys_inside_of_sections_and_leaves_the_others() -> None:
    found = varied(
        "{mock.seed: [1, 2], request.service_tier: [auto, null], mock.latency_s: [{median_s: 1}]}",
        "mock: {faults: {timeout: 0.5}}\nrequest: {a: 1}\n",
    )

    assert list(found) == ["one-1-auto-1", "one-1-null-1", "one-2-auto-1", "one-2-null-1"]
    assert [each.mock.seed for each in found.values()] == [1, 1, 2, 2]
    assert all(each.mock.latency_s == Latency(median_s=1) for each in found.values())
    assert all(each.mock.faults == {"timeout": 0.5} for each in found.values())
    assert [each.request for each in found.values()] == [{"a": 1, "service_tier": "auto"}, {"a": 1}] * 2


def test_a_matrix_varies_thinking_and_effort_with_readable_names() -> None:
    found = varied(
        "{thinking: [{type: disabled}, {type: enabled, budget_tokens: 2048, x: true}, null], effort: [low, max]}"
    )

    assert list(found) == [
        *("one-disabled-low", "one-disabled-max", "one-enabled-2048-x-low", "one-enabled-2048-x-max"),
        *("one-null-low", "one-null-max"),
    ]
    assert found["one-enabled-2048-x-max"].thinking == {"type": "enabled", "budget_tokens": 2048, "x": True}
    assert found["one-null-low"].thinking is None


def test_a_system_prompt_may_stand_in_a_file(folder: Path) -> None:
    (folder / "prompts").mkdir()
    (folder / "prompts" / "brief.md").write_bytes(b"\xef\xbb\xbfBe brief.\r\n")
    (folder / "prompts" / "kind.md").write_text("Be kind.\n\nAlways.\n")
    found = varied("{system: [{file: prompts/brief.md}, {file: prompts/kind.md}, Just do it!]}")

    assert {name: each.system for name, each in found.items()} == {
        "one-brief": "Be brief.",
        "one-kind": "Be kind.\n\nAlways.",
        "one-Just-do-it": "Just do it!",
    }
    assert one(BASE + "system: {file: prompts/brief.md}\n").system == "Be brief."


@pytest.mark.parametrize(
    ("system", "column", "message"),
    [
        ("{file: nowhere.md}", 16, "cannot read"),
        ("{path: a.md}", 9, "found a mapping of path, expected {file: PATH}"),
        ("{file: 3}", 16, "found 3 (a whole number), expected the path of a file"),
        ("{file: latin.md}", 16, "that are not UTF-8 (byte 2)"),
        ("[a]", 9, "found a list of 1, expected a text or {file: PATH}"),
    ],
)
def test_a_system_prompt_that_cannot_be_read_is_told_at_its_place(
    folder: Path, system: str, column: int, message: str
) -> None:
    (folder / "latin.md").write_bytes("né".encode("latin-1") + b"\xe9")
    (folder / "latin.md").write_bytes(b"ab\xe9")
    found = problem(f"{BASE}system: {system}\n")

    assert (found.line, found.column) == (5, column)
    assert message in found.message


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("matrix: {mock.seeds: [1]}\n", (5, 10), "found 'mock.seeds', expected a key that holds one value"),
        ("matrix: {request: [{a: 1}]}\n", (5, 10), "found 'request', expected a key that holds one value"),
        (
            "matrix: {request.metadata.user_id: [a]}\n",
            (5, 10),
            "found 'request.metadata.user_id', a key inside of a key",
        ),
        ("matrix: {mock.seed: [1, x]}\n", (5, 25), "found 'x' (a string), expected a whole number"),
        ("matrix: {request.model: [a]}\n", (5, 26), "found 'model', which is not sent as it stands"),
        ("mock: {seed: 1}\nmatrix: {mock.seed: [1]}\n", (6, 10), "found 'mock.seed' in the matrix and beside it"),
        ("matrix: {thinking: [high]}\n", (5, 21), "found 'high' (a string), expected a mapping"),
    ],
)
def test_what_a_matrix_cannot_vary_is_told_at_its_place(text: str, place: tuple[int, int], message: str) -> None:
    found = problem(BASE + text)

    assert (found.line, found.column) == place
    assert found.message.startswith(message)


def test_experiments_of_a_matrix_never_share_a_name() -> None:
    found = ids(BASE + "matrix: {system: [a-b, a], request.x: [c, b-c], request.y: ['1', 1, x.2, x, x y]}\n")

    assert len(found) == len(set(found)) == 20
    assert {"one-a-b-c-x.2", "one-a-b-c-x.2.2"} <= set(found)


def test_a_plain_value_wins_over_an_inherited_axis_of_a_section() -> None:
    text = DEFAULTS.replace("}", ", matrix: {mock.seed: [1, 2]}}") + "experiments:\n"
    assert ids(text + "- {experiment_id: x}\n- {experiment_id: y, mock: {seed: 3}}\n") == ["x-1", "x-2", "y"]
    found = problems(text + "- {experiment_id: x}\n", PROFILER_MOCK__SEED="3")
    assert found[0].message.startswith("found an override of 'mock.seed', which a matrix varies")


def test_a_key_of_request_that_nobody_knows_is_sent_with_a_warning() -> None:
    [warning] = load(BASE + "request: {servce_tier: auto, service_tier: auto, mcp_servers: []}\n").warnings

    assert (warning.line, warning.column, warning.hint) == (5, 11, "did you mean 'service_tier'?")
    assert warning.message == "found 'servce_tier', which the official SDK does not know; it is sent all the same"
