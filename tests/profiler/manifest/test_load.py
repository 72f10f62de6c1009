"""Loading a manifest: what it may say, its defaults, experiments and choice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from profiler.core.nouns import Record
from profiler.manifest.load import Bounds, Experiment, Latency, MockSettings, load_manifest
from profiler.manifest.measured import Slo
from profiler.manifest.metrics import called, plain
from profiler.manifest.value_types import OutputField
from tests.profiler.manifest.loading import BASE, DEFAULTS, ids, load, one, problem

pytestmark = pytest.mark.usefixtures("folder")


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


def test_a_cap_beside_the_experiments_is_that_of_all_of_them() -> None:
    text = DEFAULTS + "max_cost_usd: 2.5\nexperiments: [{experiment_id: a}, {experiment_id: b, max_cost_usd: 1}]\n"
    found = load(text)
    assert found.max_cost_usd == 2.5
    assert [each.max_cost_usd for each in found.experiments] == [None, 1.0]
    assert problem(text.replace("2.5", "-1")).line == 2


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


def test_reading_manifests_imports_nothing_slow() -> None:
    code = "import sys, profiler.manifest.load; print(sorted({'pydantic', 'rich', 'anthropic', 'aiofiles'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert run.stdout.strip() == "[]"


def test_thresholds_may_be_set_on_passes() -> None:
    text = "repeats: 3\npass_at: [2]\nmetrics: [refusal_rate]\nthresholds: {refusal_rate.pass^2: {max: 0.5}}"
    assert one(BASE + text).bounds() == {"refusal_rate.pass^2": Bounds(max=0.5)}
