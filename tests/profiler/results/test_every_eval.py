"""Every Eval Ever 0.3: the files hold what its two schemas ask for, and nothing that the run does not know.

The rules below are written down from these schemas (of the package every-eval-ever 0.3.0) and allow no key that we do not mean
to write. `make every-eval` installs the package, whose own validator is asked too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from profiler import Options, run_sync
from profiler.cli.main import main
from profiler.core.errors import UsageError
from profiler.manifest.settings import Experiment
from profiler.results.every_eval import export_every_eval
from profiler.storage.reading.saved_run import SavedRun
from tests.every_eval import validator
from tests.profiler.results.runs import finished

if TYPE_CHECKING:
    from pathlib import Path

TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "number"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def an(needed: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An object with these keys and perhaps more of those, but no others."""
    properties = {**needed, **more}
    return {"type": "object", "required": [*needed], "properties": properties, "additionalProperties": False}


BOUND = {"oneOf": [NUMBER, {"enum": ["Infinity", "-Infinity"]}]}
INTERVAL = an({"lower": NUMBER, "upper": NUMBER}, confidence_level={"const": 0.95})
RESULT = an(
    {
        "evaluation_name": TEXT,
        "source_data": an({"dataset_name": TEXT, "source_type": {"const": "other"}}, additional_details=TEXTS),
        "metric_config": an(
            {"lower_is_better": {"type": "boolean"}},
            metric_id=TEXT,
            metric_name=TEXT,
            score_type={"const": "continuous"},
            min_score=BOUND,
            max_score=BOUND,
            additional_details=TEXTS,
        ),
        "score_details": an(
            {"score": NUMBER},
            details=TEXTS,
            uncertainty=an({}, num_samples=WHOLE, confidence_interval=INTERVAL),
        ),
    },
    evaluation_result_id=TEXT,
    generation_config=an({}, generation_args={"type": "object"}),
)
MODEL_DETAILS = {
    **TEXTS,
    "required": ["deployment_type", "model_availability"],
    "properties": {
        "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
        "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
    },
}
UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
RESULTS = an(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": TEXT,
        "retrieved_timestamp": {"type": "string", "pattern": "^[0-9]+$"},
        "source_metadata": an(
            {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "source_organization_name": TEXT,
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
            },
            source_name=TEXT,
        ),
        "model_info": an(
            {"name": TEXT, "id": TEXT, "additional_details": MODEL_DETAILS}, developer=TEXT, inference_platform=TEXT
        ),
        "eval_library": an({"name": TEXT, "version": TEXT}),
        "evaluation_results": {"type": "array", "items": RESULT},
    },
    evaluation_timestamp={"type": "string", "pattern": "^[0-9]+$"},
    detailed_evaluation_results=an(
        {
            "format": {"const": "jsonl"},
            "file_path": {"type": "string", "pattern": f"^data/[^/]+/[^/]+/[^/]+/{UUID4}_samples[.]jsonl$"},
        },
        hash_algorithm={"const": "sha256"},
        checksum=TEXT,
        total_rows=WHOLE,
    ),
)
MESSAGES = {"type": "array", "items": an({"turn_idx": WHOLE, "role": TEXT}, content=TEXT)}
SAMPLE = {
    **an(
        {
            "schema_version": {"const": "0.3.0"},
            "evaluation_id": TEXT,
            "model_id": TEXT,
            "evaluation_name": TEXT,
            "sample_id": TEXT,
            "interaction_type": {"enum": ["single_turn", "multi_turn", "agentic"]},
            "input": an({"raw": TEXT, "reference": {"type": "array", "items": TEXT}}),
            "answer_attribution": {"type": "array"},
            "evaluation": an({"score": NUMBER, "is_correct": {"type": "boolean"}}, num_turns=WHOLE),
        },
        evaluation_result_id=TEXT,
        sample_hash=TEXT,
        output={"type": ["object", "null"]},
        messages={"type": ["array", "null"]},
        token_usage=an({"input_tokens": WHOLE, "output_tokens": WHOLE, "total_tokens": WHOLE}),
        performance=an({}, latency_ms=NUMBER, time_to_first_token_ms=NUMBER),
        metadata=TEXTS,
    ),
    "if": {"properties": {"interaction_type": {"const": "single_turn"}}},
    "then": {
        "properties": {"output": an({"raw": {"type": "array", "items": TEXT}}), "messages": {"type": "null"}},
        "required": ["output"],
    },
    "else": {"properties": {"output": {"type": "null"}, "messages": MESSAGES}, "required": ["messages"]},
}


def written(run: SavedRun, folder: Path) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """The files, which keep to the rules and point at each other."""
    path, number = export_every_eval(run, folder)
    results = json.loads(path.read_text())
    Draft7Validator(RESULTS).validate(results)
    samples = folder / results["detailed_evaluation_results"]["file_path"]
    assert samples.with_name(samples.name.replace("_samples.jsonl", ".json")) == path
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == number == results["detailed_evaluation_results"]["total_rows"]
    assert results["detailed_evaluation_results"]["checksum"] == hashlib.sha256(samples.read_bytes()).hexdigest()
    names = {each["evaluation_result_id"] for each in results["evaluation_results"]}
    for line in lines:
        Draft7Validator(SAMPLE).validate(line)
        assert (line["evaluation_id"], line["model_id"]) == (results["evaluation_id"], results["model_info"]["id"])
        assert line["evaluation_result_id"] in names
    _, developer, model = path.parent.relative_to(folder).parts[1:4]
    assert f"{developer}/{model}" == results["model_info"]["id"]
    return path, results, lines


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return finished(tmp_path_factory.mktemp("run"))


def test_results_and_answers_keep_to_the_rules_and_say_what_the_run_says(run: SavedRun, tmp_path: Path) -> None:
    _, results, lines = written(run, tmp_path)
    summary = run.summary
    told = {each["evaluation_result_id"]: each for each in results["evaluation_results"]}
    assert {name: each["score_details"]["score"] for name, each in told.items()} == {
        name: found["value"] for name, found in summary["metrics"].items()
    }
    numeric, refusals = told["numeric"], told["refusal_rate"]
    bounds = numeric["score_details"]["uncertainty"]["confidence_interval"]
    assert [bounds["lower"], bounds["upper"]] == summary["metrics"]["numeric"]["ci95"]
    assert numeric["score_details"]["details"]["errors"] == str(summary["counts"]["error"])
    assert (numeric["metric_config"]["min_score"], numeric["metric_config"]["max_score"]) == (0.0, 1.0)
    assert refusals["metric_config"]["additional_details"] == {"better": "neither"}

    scores = {item.dialogue_id: item.scores["numeric"] for item in run.items()}
    found = {each["sample_id"]: each["evaluation"] for each in lines if each["evaluation_result_id"] == "numeric"}
    assert {name: each["is_correct"] for name, each in found.items()} == {
        name: score for name, score in scores.items() if score is not None
    }
    assert {each["evaluation_result_id"] for each in lines} == {"numeric", "fact_coverage"}


def test_the_mock_is_not_filed_as_the_model_that_was_asked_for(run: SavedRun, tmp_path: Path) -> None:
    _, results, _ = written(run, tmp_path)
    model = results["model_info"]
    assert (model["name"], model["id"]) == ("claude-haiku-4-5", "experiment-profiler/mock-of-claude-haiku-4-5")
    assert model["additional_details"]["answered_by"] == "the deterministic mock"


def test_the_same_run_gives_the_same_files_and_without_texts_only_results(run: SavedRun, tmp_path: Path) -> None:
    first, results, lines = written(run, tmp_path)
    again, *same = written(run, tmp_path)
    assert (first, [results, lines]) == (again, same)
    bare, number = export_every_eval(run, tmp_path / "bare", texts=False)
    assert number == 0
    assert [path for path in (tmp_path / "bare").rglob("*") if path.is_file()] == [bare]
    assert "What is" not in bare.read_text()
    assert json.loads(bare.read_text()) == {name: results[name] for name in results if not name.startswith("detailed")}


def conversations(folder: Path) -> SavedRun:
    """Two dialogues, one of them of two turns, asked twice each of a model with an odd name."""
    rows = [
        {"dialogue_id": "one", "system": "Be kind.", "turns": ["Hello", "And then?"], "required_facts": ["sun"]},
        {"dialogue_id": "two", "user": "Hi", "expected": {"a": 1}, "required_facts": ["moon"]},
    ]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    experiment = Experiment(
        experiment_id="data", model="us.claude:0/x", max_tokens=9, dataset_path=folder / "d.jsonl", repeats=2
    )
    run_sync(experiment, options=Options(output_dir=folder / "runs", mode="mock"))
    return SavedRun(folder / "runs" / "data")


@pytest.mark.slow
def test_the_package_of_the_format_finds_nothing_to_say(run: SavedRun, tmp_path: Path) -> None:
    if not validator.made() and os.environ.get(validator.REQUIRED):
        pytest.fail("the validator is required and is not installed from its pin of today")
    if not validator.made():
        pytest.skip("make every-eval installs the validator of Every Eval Ever")
    folder = tmp_path / "collection"
    export_every_eval(run, folder)
    export_every_eval(conversations(tmp_path), folder)
    paths = [path for path in folder.rglob("*") if path.is_file()]

    found = validator.reports(paths, folder=folder)

    assert sorted(each["file_type"] for each in found) == ["aggregate", "aggregate", "instance", "instance"]
    assert [(each["valid"], each["errors"], each["warnings"]) for each in found] == [(True, [], [])] * 4


def test_conversations_repeats_and_odd_names_have_their_place(tmp_path: Path) -> None:
    path, _, lines = written(conversations(tmp_path), tmp_path / "out")
    assert re.fullmatch(
        rf"data/data-/experiment-profiler/mock-of-us.claude-0-x/{UUID4}.json",
        str(path.relative_to(tmp_path / "out")),
    )
    talk, single = lines[0], lines[2]
    assert [each["role"] for each in talk["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert (talk["interaction_type"], talk["evaluation"]["num_turns"]) == ("multi_turn", 2)
    assert (single["interaction_type"], single["input"]["reference"]) == ("single_turn", ['{"a":1}', "moon"])
    assert [line["metadata"]["repeat"] for line in lines] == ["0", "1", "0", "1"]


def test_a_part_of_a_run_is_no_result(run: SavedRun, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "responses.jsonl").write_bytes((run.folder / "responses.jsonl").read_bytes())
    with pytest.raises(UsageError, match="is unfinished"):
        export_every_eval(SavedRun(begun), tmp_path / "out")


def test_the_command_writes_the_folder_and_refuses_what_is_for_tables(
    run: SavedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(run.folder), "--to", "every-eval-ever", "-o"]
    assert main([*words, str(tmp_path)]) == 0
    (path,) = tmp_path.glob("data/e/*/*/*[0-9a-f].json")
    assert f"{path} written" in capsys.readouterr().err
    for refused in ([str(tmp_path), "--drop", "tags"], [str(tmp_path), "--raw"], ["-"]):
        assert main([*words, *refused]) == 2
        assert "a folder of files of a fixed shape" in capsys.readouterr().err
