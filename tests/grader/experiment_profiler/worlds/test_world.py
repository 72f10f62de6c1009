"""Worlds are fresh, repeatable, solvable, and tell wrong metrics from right ones."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.experiment_profiler.worlds import foreign_logs, truth
from grader.experiment_profiler.worlds import world as worlds

if TYPE_CHECKING:
    from collections.abc import Callable

    from grader.experiment_profiler.worlds.world import World

SEEDS = [f"seed {number}" for number in range(12)]


@cache
def fresh(seed: str) -> list[World]:
    """Those of one grading."""
    return worlds.draw(seed, count=3)[1:]


@given(st.text(max_size=20), st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_every_world_can_be_solved(seed: str, number: int) -> None:
    world = worlds.fresh(seed, number)

    for dialogue in world.dialogues:
        answer = world.answers[dialogue["dialogue_id"]]
        if dialogue.get("expect_refusal"):
            assert answer["metadata"]["type"] == "refusal"
        else:
            assert truth.coverage(dialogue, answer["completion"]) >= 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_to_ignore_case_finds_the_same_facts(seed: str) -> None:
    world = fresh(seed)[0]

    for dialogue in world.dialogues:
        completion = world.answers[dialogue["dialogue_id"]]["completion"]
        found = {
            sum(fold(fact) in fold(completion) for fact in dialogue["required_facts"])
            for fold in (str.lower, str.casefold, str.upper)
        }
        assert len(found) == 1


def test_the_same_seed_gives_the_same_worlds() -> None:
    assert worlds.draw("a", count=3) == worlds.draw("a", count=3)


def test_no_two_worlds_have_anything_in_common() -> None:
    drawn = [world for seed in ("a", "b") for world in worlds.draw(seed, count=3)[1:]]

    for part in ("experiment_id", "model", "dataset_path"):
        assert len({world.manifest[part] for world in drawn}) == len(drawn)
    ids = [dialogue["dialogue_id"] for world in drawn for dialogue in world.dialogues]
    completions = [answer["completion"] for world in drawn for answer in world.answers.values()]
    assert len(set(ids)) == len(ids)
    assert len(set(completions)) == len(completions)


def test_worlds_differ_in_size_settings_and_fields() -> None:
    drawn = [fresh(seed)[0] for seed in SEEDS]

    assert len({len(world.dialogues) for world in drawn}) > 5
    assert len({world.manifest["temperature"] for world in drawn}) > 8
    assert len({tuple(world.manifest["output_fields"]) for world in drawn}) > 8
    assert len({frozenset(world.manifest["metrics"]) for world in drawn}) == 2
    assert {world.manifest_path.count("/") for world in drawn} == {0, 1, 2}


@pytest.mark.parametrize("seed", SEEDS)
def test_sorting_does_not_give_the_order_of_the_dataset(seed: str) -> None:
    world = fresh(seed)[0]
    ids = [dialogue["dialogue_id"] for dialogue in world.dialogues]

    assert ids not in (sorted(ids), sorted(ids, reverse=True), [name for name in world.answers if name in ids])


def test_the_files_say_what_the_values_say() -> None:
    for world in worlds.draw("files", count=5):
        manifest = yaml.safe_load(world.files[world.manifest_path])
        dialogues = json.loads(world.files[world.resolved(manifest["dataset_path"])])
        answers = json.loads(world.files[world.resolved(manifest["mock"]["responses_path"])])

        assert (manifest, tuple(dialogues), answers) == (world.manifest, world.dialogues, world.answers)


def test_texts_are_of_many_scripts_but_no_line_splitter_cuts_them() -> None:
    text = "".join(dialogue["user"] for seed in SEEDS for dialogue in fresh(seed)[0].dialogues)

    assert any(ord(char) > 0xFFFF for char in text)
    assert {"\u200f", "\u0301", '"', "\n"} <= set(text)
    assert not set("\v\f\x1c\x1d\x1e\x85\u2028\u2029\0") & set(text)


# --- what wrong programs would say ----------------------------------------------------------------------------------

Record = tuple[dict[str, Any], dict[str, Any]]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def share(request: dict[str, Any], response: dict[str, Any], *, fold: Callable[[str], str] = str.lower) -> float:
    facts, text = request["required_facts"], fold(response["completion"] or "")
    return sum(fold(fact) in text for fact in facts) / len(facts) if facts else 1.0


def answered(records: list[Record]) -> list[Record]:
    return [record for record in records if record[1]["type"] != "error"]


WRONG: dict[str, tuple[str, Callable[[list[Record]], float]]] = {
    "case counts": (
        "fact_coverage",
        lambda records: mean([share(*record, fold=str) for record in answered(records)]),
    ),
    "refusals are left out of coverage": (
        "fact_coverage",
        lambda records: mean([share(*record) for record in answered(records) if record[1]["type"] != "refusal"]),
    ),
    "facts are pooled": (
        "fact_coverage",
        lambda records: (
            sum(share(*record) * len(record[0]["required_facts"]) for record in answered(records))
            / sum(len(record[0]["required_facts"]) for record in answered(records))
        ),
    ),
    "refusal as it was expected": (
        "refusal_rate",
        lambda records: mean([float(record[0].get("expect_refusal", False)) for record in answered(records)]),
    ),
    "refusal by how it sounds": (
        "refusal_rate",
        lambda records: mean(
            [float(record[1]["completion"].startswith(("I can", "Sorry", "I'm sorry"))) for record in answered(records)]
        ),
    ),
    "an arithmetic mean": (
        "geometric_mean",
        lambda records: mean(
            [
                mean([share(*record) for record in answered(records)]),
                1 - mean([float(record[1]["type"] == "refusal") for record in answered(records)]),
            ]
        ),
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_in_every_world_another_mean_is_told_from_the_geometric_one(seed: str) -> None:
    for world in fresh(seed):
        true = truth.metrics(world)
        arithmetic = (true["fact_coverage"] + 1 - true["refusal_rate"]) / 2
        assert arithmetic - true["geometric_mean"] > 2e-3


def test_every_completion_holds_a_nonce() -> None:
    completions = [answer["completion"] for world in fresh("a") for answer in world.answers.values()]

    nonces = [re.findall(r"\[([0-9a-f]{16})\]", completion) for completion in completions]
    assert all(len(found) == 1 for found in nonces)
    assert len({found[0] for found in nonces}) == len(completions)


def records_of(world: World) -> list[Record]:
    answers = world.answers
    return [
        (line, {"type": answers[line["dialogue_id"]]["metadata"]["type"], **answers[line["dialogue_id"]]})
        for line in world.dialogues
    ]


@pytest.mark.parametrize("mistake", WRONG)
def test_three_worlds_tell_a_wrong_metric_from_the_right_one(mistake: str) -> None:
    name, wrong = WRONG[mistake]

    for seed in SEEDS:
        assert any(abs(wrong(records_of(world)) - truth.metrics(world)[name]) > 1e-3 for world in fresh(seed)), seed


# --- logs of no run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_given_logs_hold_every_type(seed: str) -> None:
    logs = foreign_logs.logs(seed, "x")

    assert {line["type"] for line in logs.responses} == {"answer", "refusal", "truncated", "error"}
    assert [line["dialogue_id"] for line in logs.requests] == [line["dialogue_id"] for line in logs.responses]
    assert all((line["completion"] is None) == (line["type"] == "error") for line in logs.responses)


@pytest.mark.parametrize("seed", SEEDS)
def test_failed_dialogues_that_count_as_zeros_are_told_from_those_that_do_not_count(seed: str) -> None:
    logs = foreign_logs.logs(seed, "x")
    records = list(zip(logs.requests, logs.responses, strict=True))
    true = truth.metrics_of(logs)

    assert mean([share(*record) for record in records]) < true["fact_coverage"] - 1e-3
    assert true["completion_rate"] < 1
    assert math.isclose(true["fact_coverage"], mean([share(*record) for record in answered(records)]))


def test_the_summary_that_lies_beside_given_logs_is_wrong() -> None:
    for seed in SEEDS:
        logs = foreign_logs.logs(seed, "x")
        stale = json.loads(logs.files()["summary.json"])
        assert any(abs(stale[name] - value) > 1e-3 for name, value in truth.metrics_of(logs).items())


def test_the_sample_has_the_metrics_that_are_promised() -> None:
    rounded = {name: round(value, 4) for name, value in truth.metrics(worlds.sample()).items()}

    assert rounded == {
        "fact_coverage": 0.8889,
        "refusal_rate": 0.3333,
        "completion_rate": 1.0,
        "geometric_mean": 0.7698,
    }
