from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import profiler
from profiler.metrics.builtin import BUILTIN
from reference_submission.experiment_profiler.cli import main
from reference_submission.experiment_profiler.config import ConfigError, ExperimentConfig
from reference_submission.experiment_profiler.runner import ExperimentRunner, RunResult
from reference_submission.experiment_profiler.simulation import ClientFactory
from tests.servers import mock_server
from tests.task_kit.staging import REFERENCE, SAMPLE, python, staged
from tools.anthropic_client import ClientError, Completion, LiveClient, SimulatedClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.anthropic_client import Client
    from tools.dataset import Sample

PROMISED = {"fact_coverage": 0.8889, "refusal_rate": 0.3333, "geometric_mean": 0.7698}
REQUEST = ["log_schema_version", "dialogue_id", "index", "model", "max_tokens", "temperature", "prompt"]


class Scripted(ClientFactory):
    """A factory whose client does as a test says."""

    def __init__(self, complete: Callable[[Sample], Completion]) -> None:
        super().__init__(Path("nowhere.json"))
        self.complete = complete

    def build_live_or_simulated(self, *, model: str, max_tokens: int, temperature: float) -> Client:
        return self


def world(folder: Path, *, dialogues: int = 3, **settings: Any) -> Path:
    """A manifest with a dataset of its own; what is in `settings` replaces its keys."""
    items = [
        {"dialogue_id": f"d{9 - number}", "system": "s\u2028", "user": f"u{number}", "required_facts": ["Fact"]}
        for number in range(dialogues)
    ]
    (folder / "dialogues.json").write_text(json.dumps(items), encoding="utf-8")
    (folder / "answers.json").write_text(
        json.dumps({item["dialogue_id"]: {"completion": f"fact {item['user']}"} for item in items}), encoding="utf-8"
    )
    manifest = {
        "experiment_id": "w.1",
        "model": "claude-x",
        "max_tokens": 7,
        "temperature": 0.25,
        "dataset_path": "dialogues.json",
        "log_schema_version": 3,
        "output_fields": ["type", "dialogue_id", "completion"],
        "metrics": ["fact_coverage", "refusal_rate", "geometric_mean"],
        "mock": {"responses_path": "answers.json"},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest | settings), encoding="utf-8")
    return folder / "manifest.yaml"


def run(manifest: Path, factory: ClientFactory | None = None) -> RunResult:
    config = ExperimentConfig.from_yaml(manifest)
    runner = ExperimentRunner(config=config, factory=factory or ClientFactory(config.responses_path))
    return runner.run(manifest.parent / "runs")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(autouse=True)
def _without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


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


# --- summarize ------------------------------------------------------------------------------------------------------


def foreign(folder: Path, *responses: dict[str, Any], facts: tuple[str, ...] = ("a", "b")) -> Path:
    folder.mkdir()
    ids = [response["dialogue_id"] for response in responses]
    requests = [{"dialogue_id": dialogue_id, "required_facts": facts} for dialogue_id in ids]
    for name, records in (("requests", requests), ("responses", responses)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def reply(dialogue_id: str, kind: str, completion: str | None) -> dict[str, Any]:
    return {"dialogue_id": dialogue_id, "type": kind, "completion": completion}


def test_logs_from_elsewhere_are_measured_by_type(tmp_path: Path) -> None:
    logs = foreign(
        tmp_path / "theirs",
        *(reply("1", "answer", "I can't help, A b"), reply("2", "refusal", "Sure!")),
        *(reply("3", "truncated", "b"), reply("4", "error", None)),
    )

    assert main(["summarize", "--log-dir", str(logs)]) == 0

    assert json.loads((logs / "summary.json").read_bytes()) == {
        "experiment_id": "theirs",
        "dialogues": 4,
        "fact_coverage": 0.5,
        "refusal_rate": 0.3333,
        "completion_rate": 0.75,
        "geometric_mean": 0.5774,
    }


def test_the_method_gives_the_same_and_writes_nothing(tmp_path: Path) -> None:
    config = ExperimentConfig.from_yaml(world(tmp_path))
    runner = ExperimentRunner(config=config, factory=ClientFactory(config.responses_path))
    logs = foreign(tmp_path / "theirs", reply("1", "answer", "A"))

    expected = {"fact_coverage": 0.5, "refusal_rate": 0.0, "completion_rate": 1.0, "geometric_mean": 0.7071}
    assert runner.summarize(logs) == expected
    assert not (logs / "summary.json").exists()


def test_without_answers_a_metric_is_null_and_not_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = foreign(tmp_path / "theirs", reply("1", "error", None))

    assert main(["summarize", "--log-dir", str(logs)]) == 0

    assert json.loads((logs / "summary.json").read_bytes())["fact_coverage"] is None
    assert capsys.readouterr().out.splitlines()[1].split() == ["fact_coverage", "-"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"dialogue_id": "2", "type": "answer", "completion": "a"}\n', "responses.jsonl:1: found dialogue '2'"),
        ("", "found dialogue None, expected '1'"),
        ('{"dialogue_id": "1", "type": "answer"}\n', "responses.jsonl:1: found no record"),
        ('{"dialogue_id": "1", "type": "odd", "completion": "a"}\n', "found the type 'odd'"),
        ('{"dialogue_id": "1", "type": "answer", "comp', "responses.jsonl:1: found a line without its end"),
    ],
)
def test_damaged_logs_are_an_error_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, complaint: str
) -> None:
    logs = foreign(tmp_path / "theirs", reply("1", "answer", "a"))
    (logs / "responses.jsonl").write_text(content)

    assert main(["summarize", "--log-dir", str(logs)]) == 2

    assert complaint in capsys.readouterr().err
    assert not (logs / "summary.json").exists()


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


# --- manifests ------------------------------------------------------------------------------------------------------


def test_paths_are_absolute_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    config = ExperimentConfig.from_yaml("../manifest.yaml")

    assert (config.dataset_path, config.responses_path) == (tmp_path / "dialogues.json", tmp_path / "answers.json")


def test_everything_wrong_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong: dict[str, Any] = {
        "experiment_id": "../up",
        "max_tokens": True,
        "temperature": float("nan"),
        "mock": {},
        "output_fields": ["completion"],
        "metrics": ["speed"],
        "model": None,
    }
    manifest = world(tmp_path, **wrong)

    assert main(["run", "--config", str(manifest), "--output-dir", str(tmp_path / "runs")]) == 2

    said = capsys.readouterr().err
    assert [key for key in wrong if f"manifest.yaml: {key}: found " not in said] == []
    assert "dataset_path" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", ["- a list", "a: [", ""])
def test_what_is_no_manifest_is_an_error_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.yaml").write_text(content)

    with pytest.raises(ConfigError, match=r"m\.yaml: found"):
        ExperimentConfig.from_yaml(tmp_path / "m.yaml")


@pytest.mark.parametrize("name", ["dialogues", "answers"])
def test_an_input_that_is_missing_is_an_error_and_the_run_before_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    manifest = world(tmp_path)
    kept = run(manifest).artifacts.summary_path.read_bytes()
    (tmp_path / f"{name}.json").unlink()

    assert main(["run", "--config", str(manifest), "--output-dir", str(tmp_path / "runs")]) == 2

    assert f"{name}.json: cannot be read" in capsys.readouterr().err
    assert (tmp_path / "runs/w.1/summary.json").read_bytes() == kept
