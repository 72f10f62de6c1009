from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.dataset import DatasetError, Sample, read_samples

SAMPLE = Path(__file__).resolve().parents[4] / "data" / "dialogues.json"


def dataset(folder: Path, *items: Any) -> Path:
    (folder / "dialogues.json").write_text(json.dumps(items), encoding="utf-8")
    return folder / "dialogues.json"


def item(**changed: Any) -> dict[str, Any]:
    return {"dialogue_id": "a", "system": "", "user": "why?", "required_facts": ["moon"], **changed}


def test_the_sample_is_read_in_the_order_of_the_file() -> None:
    written = json.loads(SAMPLE.read_bytes())

    found = read_samples(SAMPLE)

    assert [sample.dialogue_id for sample in found] == [entry["dialogue_id"] for entry in written]
    assert [sample.user for sample in found] == [entry["user"] for entry in written]
    assert [sample.expect_refusal for sample in found] == [False, False, True]


def test_what_may_be_left_out_has_a_value(tmp_path: Path) -> None:
    (found,) = read_samples(dataset(tmp_path, {"dialogue_id": "a", "system": "s", "user": "u"}))

    assert found == Sample(dialogue_id="a", system="s", user="u", required_facts=(), expect_refusal=False, tags=())


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (item(dialogue_id=7), "dialogue_id: found 7, expected text"),
        (item(user=None), "user: found None, expected text"),
        (item(required_facts="moon"), "required_facts: found 'moon', expected a list of texts"),
        (item(required_facts=["moon", 7]), "expected a list of texts"),
        (item(expect_refusal="no"), "expect_refusal: found 'no', expected true or false"),
        ("text", "found str, expected an object"),
        (item(dialogue_id="first"), "found the id 'first' a second time"),
    ],
)
def test_a_bad_dialogue_is_an_error_with_its_place(tmp_path: Path, wrong: Any, complaint: str) -> None:
    with pytest.raises(DatasetError, match=r"dialogues\.json: dialogue 2: ") as caught:
        read_samples(dataset(tmp_path, item(dialogue_id="first"), wrong))

    assert complaint in str(caught.value)


@pytest.mark.parametrize("content", [b"{}", b"[{]", b"\xff", b'[{"a": NaN}]', b'[{"a": 1, "a": 1}]', b""])
def test_what_is_no_array_of_strict_json_is_an_error_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dialogues.json").write_bytes(content)

    with pytest.raises(DatasetError, match=r"dialogues\.json: found "):
        read_samples(tmp_path / "dialogues.json")


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.json: cannot be read"):
        read_samples(tmp_path / "gone.json")
