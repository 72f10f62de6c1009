from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import profiler
from profiler.metrics.builtin import BUILTIN
from reference_submission.experiment_profiler.config import ExperimentConfig
from reference_submission.experiment_profiler.simulation import ClientFactory
from tests.servers import mock_server
from tests.task_kit.experiment_profiler.worlds import Scripted, lines, run, world
from tests.task_kit.staging import REFERENCE, SAMPLE, python, staged
from tools.anthropic_client import ClientError, Completion, LiveClient, SimulatedClient

if TYPE_CHECKING:
    from tools.anthropic_client import Client
    from tools.dataset import Sample

PROMISED = {"fact_coverage": 0.8889, "refusal_rate": 0.3333, "geometric_mean": 0.7698}
REQUEST = ["log_schema_version", "dialogue_id", "index", "model", "max_tokens", "temperature", "prompt"]


# --- the sample, in a staged folder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staged folder with the reference in it, after a run of the sample."""
    folder = staged(tmp_path_factory.mktemp("staged"), submission=REFERENCE)
    command = ("-m", "experiment_profiler.cli", "run", "--config", SAMPLE, "--output-dir", "runs")
    ended = python(*command, cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "Completed experiment demo_run\nMetrics written to runs/demo_run/summary.json\n"
    return folder


def test_the_sample_gives_the_promised_metrics(finished: Path) -> None:
    summary = json.loads((finished / "runs/demo_run/summary.json").read_bytes())

    assert PROMISED.items() <= summary.items()
    assert (summary["experiment_id"], summary["dialogues"], summary["completion_rate"]) == ("demo_run", 3, 1.0)


def test_summarize_writes_the_summary_anew_and_prints_a_table(finished: Path) -> None:
    summary = finished / "runs/demo_run/summary.json"
    before = summary.read_bytes()
    summary.unlink()

    ended = python("-m", "experiment_profiler.cli", "summarize", "--log-dir", "runs/demo_run", cwd=finished)

    assert ended.returncode == 0
    assert [row.split() for row in ended.stdout.splitlines()[1:4:2]] == [
        ["fact_coverage", "0.8889"],
        ["completion_rate", "1.0000"],
    ]
    assert summary.read_bytes() == before


def test_the_engine_reads_its_logs_and_agrees(finished: Path) -> None:
    reduction = profiler.reduce_logs(finished / "runs/demo_run", list(BUILTIN.values()))

    found = {name: estimate.value for name, estimate in reduction.estimates().items()}
    assert {name: round(found[name] or 0, 4) for name in PROMISED} == PROMISED


def test_nothing_but_the_three_files_is_left(finished: Path) -> None:
    assert {path.name for path in (finished / "runs/demo_run").iterdir()} == {
        *("requests.jsonl", "responses.jsonl", "summary.json")
    }


# --- what is logged -------------------------------------------------------------------------------------------------


def test_requests_say_what_was_asked_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    result = run(world(tmp_path))

    logged = lines(result.artifacts.requests_path)
    assert [list(line) for line in logged] == [[*REQUEST, "required_facts"]] * 3
    assert [line["dialogue_id"] for line in logged] == ["d9", "d8", "d7"]
    assert logged[1] == {
        "log_schema_version": 3,
        "dialogue_id": "d8",
        "index": 1,
        "model": "claude-x",
        "max_tokens": 7,
        "temperature": 0.25,
        "prompt": {"system": "s\u2028", "user": "u1"},
        "required_facts": ["Fact"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        ["completion", "type", "dialogue_id"],
        ["model", "dialogue_id", "usage", "completion", "index", "type", "latency_s", "stop_reason"],
    ],
)
def test_responses_hold_exactly_the_output_fields(tmp_path: Path, fields: list[str]) -> None:
    result = run(world(tmp_path, output_fields=fields))

    known = {
        "dialogue_id": "d9",
        "index": 0,
        "completion": "fact u0",
        "type": "answer",
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "latency_s": 0.0,
        "model": "claude-x",
    }
    assert lines(result.artifacts.responses_path)[0] == {field: known[field] for field in fields}


def test_the_summary_holds_the_metrics_of_the_manifest(tmp_path: Path) -> None:
    result = run(world(tmp_path))

    expected = {"fact_coverage": 1.0, "refusal_rate": 0.0, "geometric_mean": 1.0}
    assert result.metrics == expected
    summary = json.loads(result.artifacts.summary_path.read_bytes())
    assert summary == {"experiment_id": "w.1", "dialogues": 3, **expected}


def test_the_artifacts_are_where_the_experiment_says(tmp_path: Path) -> None:
    artifacts = run(world(tmp_path)).artifacts

    folder = tmp_path / "runs/w.1"
    assert (artifacts.output_dir, artifacts.requests_path) == (folder, folder / "requests.jsonl")
    assert (artifacts.responses_path, artifacts.summary_path) == (folder / "responses.jsonl", folder / "summary.json")


def test_a_second_run_leaves_a_fresh_run(tmp_path: Path) -> None:
    run(world(tmp_path, dialogues=5))
    result = run(world(tmp_path, dialogues=2))

    assert len(lines(result.artifacts.responses_path)) == len(lines(result.artifacts.requests_path)) == 2


def test_a_call_that_fails_is_a_record_and_no_zero(tmp_path: Path) -> None:
    def complete(sample: Sample) -> Completion:
        if sample.user == "u1":
            raise ClientError("it is not there")
        return Completion(completion="fact", metadata={"type": "answer"})

    result = run(world(tmp_path, metrics=["fact_coverage", "completion_rate"]), Scripted(complete))

    assert lines(result.artifacts.responses_path)[1] == {"dialogue_id": "d8", "completion": None, "type": "error"}
    assert result.metrics == {"fact_coverage": 1.0, "completion_rate": 0.6667}


def test_a_bug_ends_the_run_with_what_was_answered_and_without_a_summary(tmp_path: Path) -> None:
    manifest = world(tmp_path)
    run(manifest)

    def complete(sample: Sample) -> Completion:
        if sample.user == "u2":
            raise ZeroDivisionError
        return Completion(completion="new", metadata={"type": "answer"})

    with pytest.raises(ZeroDivisionError):
        run(manifest, Scripted(complete))

    folder = tmp_path / "runs/w.1"
    assert [line["completion"] for line in lines(folder / "responses.jsonl")] == ["new", "new"]
    assert not (folder / "summary.json").exists()


def test_answers_are_not_kept_in_memory(tmp_path: Path) -> None:
    manifest = world(tmp_path, dialogues=40)
    size = 1 << 20

    def complete(sample: Sample) -> Completion:
        return Completion(completion=sample.user * (size // 2), metadata={"type": "answer"})

    tracemalloc.start()
    result = run(manifest, Scripted(complete))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert result.artifacts.responses_path.stat().st_size > 40 * size
    assert peak < 20 * size


# --- which client ---------------------------------------------------------------------------------------------------


def test_it_is_live_if_and_only_if_a_key_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = ClientFactory(ExperimentConfig.from_yaml(world(tmp_path)).responses_path)

    def chosen() -> Client:
        return factory.build_live_or_simulated(model="m", max_tokens=1, temperature=0.0)

    assert isinstance(chosen(), SimulatedClient)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
    assert isinstance(chosen(), LiveClient)
    assert isinstance(factory.build_simulator(), SimulatedClient)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    assert isinstance(chosen(), SimulatedClient)


class Closing(ClientFactory):
    """Keeps the client, so that a test can close its connections."""

    def build_live_or_simulated(self, *, model: str, max_tokens: int, temperature: float) -> Client:
        self.client = super().build_live_or_simulated(model=model, max_tokens=max_tokens, temperature=temperature)
        return self.client


def test_a_live_run_leaves_the_same_logs_as_a_simulated_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = world(tmp_path, model="claude-haiku-4-5", temperature=0.5)
    simulated = run(manifest).artifacts.responses_path.read_bytes()
    factory = Closing(tmp_path / "answers.json")
    with mock_server(
        "--responses", str(tmp_path / "answers.json"), "--dataset", str(tmp_path / "dialogues.json")
    ) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.base_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
        result = run(manifest, factory)
        asked = server.stats()["requests"]["total"]
    assert isinstance(factory.client, LiveClient)
    factory.client.close()

    assert asked == 3
    assert result.artifacts.responses_path.read_bytes() == simulated
