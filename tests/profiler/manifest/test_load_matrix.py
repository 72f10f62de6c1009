"""A matrix of experiments: what it varies, and the names that come of it; system prompts from files, which it may vary."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.manifest.load import Experiment, Latency
from tests.profiler.manifest.loading import BASE, DEFAULTS, ids, load, one, problem, problems

pytestmark = pytest.mark.usefixtures("folder")


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


def test_a_matrix_may_vary_how_often_dialogues_are_asked() -> None:
    assert ids(BASE + "matrix: {repeats: [1, 3]}\n") == ["one-1", "one-3"]


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
