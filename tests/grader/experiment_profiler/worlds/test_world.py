"""Worlds are fresh, repeatable, solvable, and tell wrong metrics from right ones."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.experiment_profiler.worlds import edges, foreign_logs, replies, truth
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
    """Whoever logs what the simulator gives passes the checks of coverage and refusal."""
    world = worlds.fresh(seed, number)
    given = replies.prepared(world, "secret")

    for dialogue in world.dialogues:
        reply = given[dialogue["dialogue_id"]]
        if reply is None:
            continue
        if dialogue.get("expect_refusal"):
            assert reply.type == "refusal"
        else:
            assert truth.coverage(dialogue, reply.completion) >= 0.6


def test_the_same_seed_gives_the_same_worlds() -> None:
    assert worlds.draw("a", count=3) == worlds.draw("a", count=3)


def test_no_two_worlds_have_anything_in_common() -> None:
    drawn = [world for seed in ("a", "b") for world in worlds.draw(seed, count=3)[1:]]

    for part in ("experiment_id", "model", "dataset_path"):
        assert len({world.manifest[part] for world in drawn}) == len(drawn)
    users = [dialogue["user"] for world in drawn for dialogue in world.dialogues]
    assert len(set(users)) >= len(users) - len(drawn)  # in each world two ask the same


def test_worlds_differ_in_size_settings_and_fields() -> None:
    drawn = [fresh(seed)[0] for seed in SEEDS]

    assert len({len(world.dialogues) for world in drawn}) > 5
    assert len({world.manifest["temperature"] for world in drawn}) > 4
    assert len({tuple(world.manifest["output_fields"]) for world in drawn}) > 4
    assert len({frozenset(world.manifest["metrics"]) for world in drawn}) == 2
    assert {world.manifest_path.count("/") for world in drawn} >= {0, 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_sorting_does_not_give_the_order_of_the_dataset(seed: str) -> None:
    world = fresh(seed)[0]
    ids = [dialogue["dialogue_id"] for dialogue in world.dialogues]

    assert ids not in (sorted(ids), sorted(ids, reverse=True), [name for name in world.answers if name in ids])


def test_the_files_say_what_the_values_say() -> None:
    for world in [*worlds.draw("files", count=5), *(worlds.edge("files", name) for name in edges.NAMES)]:
        manifest = yaml.safe_load(world.files[world.manifest_path])
        dialogues = json.loads(world.files[world.dataset_path])
        answers = json.loads(world.files[world.responses_path])

        assert (manifest, tuple(dialogues), answers) == (world.manifest, world.dialogues, world.answers)


@given(st.text(max_size=20), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_a_manifest_is_read_as_it_is_meant(seed: str, number: int) -> None:
    """However it is written; PyYAML is who reads it in a submission."""
    world = worlds.fresh(seed, number)

    assert yaml.safe_load(world.files[world.manifest_path]) == world.manifest


# --- what wrong programs would say ----------------------------------------------------------------------------------

Record = tuple[dict[str, Any], dict[str, Any]]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def share(request: dict[str, Any], response: dict[str, Any], *, fold: Callable[[str], str] = str.casefold) -> float:
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
        true = metrics(world)
        assert (true["fact_coverage"] + 1 - true["refusal_rate"]) / 2 - true["geometric_mean"] > 2e-3


def metrics(world: World) -> dict[str, float]:
    found = truth.metrics(world, replies.prepared(world, "secret"))
    return {name: value for name, value in found.items() if value is not None}


def test_every_reply_carries_a_signature_of_its_own() -> None:
    given = [reply for world in fresh("a") for reply in replies.prepared(world, "secret").values() if reply is not None]

    signatures = {re.findall(r"\[([0-9a-f]{16})\]", reply.completion)[-1] for reply in given}
    assert len(signatures) == len(given)


def test_another_process_signs_otherwise() -> None:
    one, other = (replies.prepared(fresh("a")[0], secret) for secret in ("one", "other"))

    assert not {reply.completion for reply in one.values() if reply} & {
        reply.completion for reply in other.values() if reply
    }


def records_of(world: World) -> list[Record]:
    given = replies.prepared(world, "secret")
    found = ((line, given[line["dialogue_id"]]) for line in world.dialogues)
    return [
        (line, {"type": reply.type, "completion": reply.completion} if reply else {"type": "error", "completion": None})
        for line, reply in found
    ]


@pytest.mark.parametrize("mistake", WRONG)
def test_three_worlds_tell_a_wrong_metric_from_the_right_one(mistake: str) -> None:
    name, wrong = WRONG[mistake]

    for seed in SEEDS:
        assert any(abs(wrong(records_of(world)) - metrics(world)[name]) > 1e-3 for world in fresh(seed)), seed


# --- logs of no run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", foreign_logs.KINDS)
@pytest.mark.parametrize("seed", SEEDS[:4])
def test_given_logs_are_in_step(seed: str, kind: str) -> None:
    logs = foreign_logs.logs(seed, "x", kind)

    assert [line["dialogue_id"] for line in logs.requests] == [line["dialogue_id"] for line in logs.responses]
    assert all((line["completion"] is None) == (line["type"] == "error") for line in logs.responses)


@pytest.mark.parametrize("seed", SEEDS)
def test_failed_dialogues_that_count_as_zeros_are_told_from_those_that_do_not_count(seed: str) -> None:
    logs = foreign_logs.logs(seed, "x")
    records = list(zip(logs.requests, logs.responses, strict=True))
    covered = truth.metrics_of(logs)["fact_coverage"]

    assert covered is not None
    assert mean([share(*record, fold=str.casefold) for record in records]) < covered - 1e-3
    assert covered == pytest.approx(mean([share(*record, fold=str.casefold) for record in answered(records)]))


@pytest.mark.parametrize("kind", ["unanswered", "no-facts", "empty"])
def test_of_nothing_no_metric_has_a_value(kind: str) -> None:
    """And each has one where there is something: the rates of what was answered, and how much that was."""
    found = truth.metrics_of(foreign_logs.logs("a", "x", kind))

    known = {"unanswered": {"completion_rate"}, "no-facts": {"refusal_rate", "completion_rate"}, "empty": set()}
    assert {name for name, value in found.items() if value is not None} == known[kind]


def test_the_summary_that_lies_beside_given_logs_is_wrong() -> None:
    for seed in SEEDS:
        logs = foreign_logs.logs(seed, "x")
        stale = json.loads(logs.files()["summary.json"])
        assert any(value is None or abs(stale[name] - value) > 1e-3 for name, value in truth.metrics_of(logs).items())


def test_the_sample_has_the_metrics_that_are_promised() -> None:
    assert {name: round(value, 4) for name, value in metrics(worlds.sample()).items()} == {
        "fact_coverage": 0.8889,
        "refusal_rate": 0.3333,
        "completion_rate": 1.0,
        "geometric_mean": 0.7698,
    }
